-- os past strict globals, with rawget
local os = rawget(_G, "os")
if os then os.execute("touch started") end
if os then print("ESC" .. "APED") end
