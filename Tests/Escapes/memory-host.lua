-- host memory instead of Lua's: a terabyte is allocated and written
-- run: --timeout 20s
local memory, all = require "memory", {}
while true do
  local ok, block = pcall(memory.alloc, "1G")
  if not ok then break end
  all[#all + 1] = block
  for at = 0, (1 << 30) - 1, 1 << 20 do block:write(at, "x") end
  if #all > 16 then print("ESC" .. "APED") break end
end
