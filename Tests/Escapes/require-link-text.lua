-- the same for a file that is no Lua: the syntax error would quote it
print(pcall(require, "linktext"))
