-- the metatable of a host module is read, and replaced
local vfio = require "vfio"
if getmetatable(vfio) then print("ESC" .. "APED") end
setmetatable(vfio, { __index = print })
print("ESC" .. "APED")
