-- plain recursion, and recursion in the handler of xpcall (CVE-2022-33099)
local function f() return 1 + f() end
pcall(f)
xpcall(f, function() return f() end)
local function h(m) return xpcall(h, h, m) end
h()
