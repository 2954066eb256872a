-- the metatable of the globals is taken off
setmetatable(_G, nil)
print("ESC" .. "APED")
