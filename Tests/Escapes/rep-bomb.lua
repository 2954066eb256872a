-- string.rep of terabytes (Redis' proto-max-bulk-len reports)
print(pcall(string.rep, "x", 1 << 40), pcall(string.rep, "x", 1 << 62, "y"))
local s = "x" while true do s = s:rep(2) end
