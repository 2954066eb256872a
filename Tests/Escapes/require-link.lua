-- a link in the script's folder that leads out of it (zip-slip's other half)
print(require "link")
print("ESC" .. "APED")
