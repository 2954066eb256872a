-- __close handlers that raise and loop while an error unwinds
-- run: --timeout 2s
local function f() local x <close> = setmetatable({}, { __close = function() f() end }) error("x") end
f()
