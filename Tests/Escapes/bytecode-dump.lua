-- string.dump and load of the result: the start of every bytecode exploit (Peter Cawley, 2012)
local code = string.dump(function() return 1 end)
print(load(code, "x", "b")())
print("ESC" .. "APED")
