-- bytecode in pieces from a reader function, which some checks of the first byte do not see
local pieces, at = { "\27", "Lua", "T" }, 0
load(function() at = at + 1 return pieces[at] end, "x", "b")
print("ESC" .. "APED")
