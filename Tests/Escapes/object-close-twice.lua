-- an object closed by its finalizer while a call decodes its arguments (use after free)
local vfio, victim = require "vfio", nil
collectgarbage("generational", 1, 1)
for _ = 1, 300 do
  victim = vfio.open("0000:01:00.0")
  setmetatable({}, { __gc = function() victim:close() end })
  pcall(victim.export_dmabuf, victim, { region_index = 2, ranges = { { offset = 0, length = "4K" } } })
  victim:close()
end
