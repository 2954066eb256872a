-- strings that the host makes, which no allocator may refuse there
-- run: --memory 256M --timeout 20s
local memory, all = require "memory", {}
local block = memory.alloc("64M")
for i = 1, 1000 do all[i] = block:read(0, 64 << 20) .. "" if i > 8 then print("ESC" .. "APED") break end end
