-- load with an environment of its own, to find what globals are when nobody closed them
local env = setmetatable({}, { __index = function(_, key) return rawget(_G, key) end })
load("os.execute('touch started')", "x", "t", env)()
print("ESC" .. "APED")
