-- bytecode after a byte order mark or a '#' line, which loaders skip before they look
if load("\xef\xbb\xbf\27Lua") or load("#x\n\27Lua") then print("ESC" .. "APED") end
