-- __tostring and __name that loop or are no strings, which hosts print without care
local t t = setmetatable({}, { __tostring = function() return tostring(t) end, __name = setmetatable({}, { __tostring = error }) })
pcall(print, t)
pcall(require("vfio").open, setmetatable({}, { __name = ("n"):rep(1 << 20) }))
error(t)
