-- A reset through sysfs, which vfio-pci does not hear of, while a dma-buf is mapped: nothing is revoked.
local vfio, iommufd, sys = require "vfio", require "iommufd", require "sys"
local memory, edu, pattern = require "memory", require "engines.edu", require "pattern"

local dev <close> = vfio.open("0000:01:00.0", { via = "cdev" })
local context <close> = iommufd.open()
local engine <close> = vfio.open("0000:02:00.0", { iommufd = context })
local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "64K" } } }
local ioas <close> = context:alloc_ioas()
engine:attach(ioas)
local host <close> = memory.alloc(4096)
ioas:map { memory = host, iova = 0x200000 }
ioas:map_file { dmabuf = buf, length = "64K", iova = 0x100000 }

local reset <close> = sys.open("/sys/bus/pci/devices/0000:01:00.0/reset", 1)
for _, text in ipairs { "0\n", "reset\n", "1\n" } do
  local result = sys.write(reset:fd(), text)
  print("reset", text:sub(1, -2), result.name or result.result)
end
print("memory decode", dev:load(vfio.CONFIG, 4, 2) & 2)
local sent = pattern.bytes(512, 3)
dev:write(2, 0, sent)
edu.start(engine):copy(0x100000, 0x200000, 512)
print("the engine reads through the old mapping", host:read(0, 512) == sent)
local again, refusal = pcall(ioas.map_file, ioas, { dmabuf = buf, length = 4096, iova = 0x300000 }) ---@type boolean, any
print("the dma-buf maps again", again or refusal.name)
engine:detach()
