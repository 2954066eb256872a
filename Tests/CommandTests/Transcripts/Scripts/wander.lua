-- Refused for one thing: the last range begins between pages.
local vfio = require "vfio"
local dev <close> = vfio.open("0000:01:00.0")
local ranges = { { offset = "64K", length = "128K" }, { offset = "512K", length = "8K" }, { offset = 4097, length = "4K" } }
print(pcall(dev.export_dmabuf, dev, { region_index = 2, ranges = ranges }))
print(pcall(dev.export_dmabuf, dev, { region_index = 0, ranges = { { offset = 0, length = 256 } } }))
