-- debug.sethook takes the host's own hook away, and with it its time limit (lua.org/wiki/SandBoxes)
-- run: --timeout 1s
debug.sethook()
while true do end
print("ESC" .. "APED")
