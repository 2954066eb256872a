-- a finalizer that never ends, when the state is closed and no hook runs (Lua mailing list, 2014)
-- run: --timeout 1s
setmetatable({}, { __gc = function() while true do end end })
