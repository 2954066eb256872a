-- io.lines reads files where only io.open was removed (known to WoW addon authors)
for line in io.lines("../canary.txt") do print(line) end
print("ESC" .. "APED")
