-- require with '..' in the name, as package.path templates allow
print(require "../canary")
print("ESC" .. "APED")
