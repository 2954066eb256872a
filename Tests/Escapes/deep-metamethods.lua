-- __index, __eq, __concat that call themselves
local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k .. "x"] end
pcall(function() return t.x end)
local loop = setmetatable({}, {}) getmetatable(loop).__index = loop
pcall(function() return loop.x end)
local e = setmetatable({}, { __eq = function(a, b) return a == b end })
pcall(function() return e == setmetatable({}, getmetatable(e)) end)
