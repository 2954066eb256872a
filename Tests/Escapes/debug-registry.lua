-- debug.getregistry reaches every table of the host (Lua manual 6.10: 'should not be used')
for key, value in pairs(debug.getregistry()) do print(key, value) end
print("ESC" .. "APED")
