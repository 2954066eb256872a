-- output without end
-- run: --timeout 20s
local line = ("x"):rep(1 << 16) while true do pcall(print, line) end
