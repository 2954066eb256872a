-- pcall in pcall until C's stack is full
local function f() return pcall(f) end
print(f())
