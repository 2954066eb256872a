-- metatables of numbers, nil, booleans: only debug sets them
if getmetatable(1) or getmetatable(nil) or getmetatable(print) then print("ESC" .. "APED") end
setmetatable(1, {})
print("ESC" .. "APED")
