-- a compiled module beside the script
if pcall(require, "compiled") then print("ESC" .. "APED") end
