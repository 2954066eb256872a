-- a wait in the host that outlives the limit
-- run: --timeout 1s
return { cases = { wait = function() while true do pcall(require("sys").sleep, 3600000) end end } }
