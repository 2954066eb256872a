-- the string metatable is shared: a host that calls s:sub() gets the script's (lua.org/wiki/SandBoxes)
local mt = getmetatable("")
mt.__index = function() return function() return 1 end end
mt.__concat = function() return "owned" end
mt.__len = function() return 1 << 40 end
require("vfio").open("0000:01:00.0"):close()
print(("x"):anything())
