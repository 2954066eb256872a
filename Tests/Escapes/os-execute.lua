-- os.execute: the plainest way out of any embedded Lua (Lua manual 6.9; every CTF's first try)
os.execute("touch started; cat ../canary.txt")
print("ESC" .. "APED")
