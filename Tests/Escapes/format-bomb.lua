-- string.format with widths, precisions and %s of giants
pcall(string.format, "%99999999d", 1) pcall(string.format, "%.99999f", 1) pcall(string.format, ("%s"):rep(1 << 20))
local s = ("x"):rep(1 << 26) while true do s = string.format("%s%s", s, s) end
