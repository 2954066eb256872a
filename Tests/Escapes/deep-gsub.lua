-- gsub whose callback calls gsub
local function f(s) return (s:gsub(".", f)) end
f("x")
