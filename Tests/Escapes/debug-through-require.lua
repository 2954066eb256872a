-- debug from require: sandboxes remove the global and leave the module
print(require("debug").getregistry())
print("ESC" .. "APED")
