-- finalizers that make finalizers, without end
-- run: --timeout 2s
local function again() setmetatable({}, { __gc = again }) end
again() collectgarbage() again()
