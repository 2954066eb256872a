-- a folder that is a link
print(require "folder.canary")
print("ESC" .. "APED")
