-- a name with a line break, a wildcard, a blank
print(require "can\nary * ")
print("ESC" .. "APED")
