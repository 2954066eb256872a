-- CVE-2022-28805: a constant _ENV makes 5.4's parser read outside its arrays
print(load("local _ENV <const> = 1; return function() return x end"))
print(load("local function f() local _ENV <const> = 2; y = 1 end"))
pcall(load("local a, _ENV <const> = {}, {} ; function a.b() return c end return a.b()"))
