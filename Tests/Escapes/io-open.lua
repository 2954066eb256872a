-- io.open reads any file (Lua manual 6.8; VeraCode's LuaJIT survey)
print(io.open("../canary.txt"):read("a"))
print("ESC" .. "APED")
