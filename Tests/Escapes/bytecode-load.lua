-- CVE-2015-4335: Redis' EVAL took bytecode, which reads and writes any address
local function try(mode) return load("\27Lua\x54\0\x19\x93\r\n\x1a\n\4\8\8xV\0\0\0\0\0\0\0\0\0\0\0(w@", "=x", mode) end
for _, mode in ipairs { "b", "bt", "tb", "B" } do if try(mode) then print("ESC" .. "APED") end end
local code, problem = load("\27Lua")
if code or not problem:find("attempt to load a binary chunk", 1, true) then print("ESC" .. "APED") end
