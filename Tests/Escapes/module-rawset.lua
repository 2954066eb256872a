-- a host module's function is replaced by the script's; the host must not call what it finds there
local vfio, case = require "vfio", require "expect"
rawset(vfio, "open", function() while true do end end)
return { cases = { fine = function(t) rawset(t, "log", error) rawset(t, "skip", nil) end } }
