-- dofile reads a file, and its syntax error shows the first words of what it read
print(dofile("../canary.txt"))
print("ESC" .. "APED")
