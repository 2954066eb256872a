-- debug.setmetatable on a device's object turns its methods into others
debug.setmetatable(require("vfio"), {})
print("ESC" .. "APED")
