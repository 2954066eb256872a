-- os from the environment table instead of a global name
_ENV["os"].execute("touch started")
print("ESC" .. "APED")
