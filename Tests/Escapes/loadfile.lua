-- loadfile does the same without running it (Wireshark's Lua left it to user scripts)
print(loadfile("../canary.txt"))
print("ESC" .. "APED")
