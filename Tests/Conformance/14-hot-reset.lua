-- VFIO_DEVICE_GET_PCI_HOT_RESET_INFO and VFIO_DEVICE_PCI_HOT_RESET: by the character device, where the iommufd says who
-- owns what, and by groups; what they refuse, and what a reset of the bus does to dma-bufs.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"

local INFO, RESET = "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", "VFIO_DEVICE_PCI_HOT_RESET"
local PAGE, IOVA = 4096, 0x100000
local POWER_STATE = 0x80 -- of the Express function

local function info(argsz, room)
  return string.pack("<I4I4I4", argsz, 0xffffffff, 0xffffffff) .. ("\xff"):rep(room or math.max(argsz - 12, 0))
end

local function reset(how)
  local list = {}
  for i, fd in ipairs(how.fds or {}) do
    list[i] = string.pack("<i4", fd)
  end
  return string.pack("<I4I4I4", how.argsz or (12 + 4 * #list), how.flags or 0, how.count or #list) .. table.concat(list)
end

local cases = {}

local function info_refusals(answer, fd)
  answer:ioctl("info, no bytes", fd, INFO, "")
  answer:ioctl("info, 8 bytes", fd, INFO, info(12, 0):sub(1, 8))
  for _, argsz in ipairs { 0, 8, 11 } do
    answer:ioctl("info, argsz " .. argsz, fd, INFO, info(argsz, 32))
  end
  for _, argsz in ipairs { 12, 16, 19 } do
    answer:ioctl("info, argsz " .. argsz, fd, INFO, info(argsz, 32), "<I4I4I4")
  end
  answer:ioctl("info, argsz 20, 12 bytes", fd, INFO, info(20, 0), "<I4I4I4")
end

for _, option in ipairs { "exporter", "engine", "express" } do
  cases[#cases + 1] = { "character device, " .. option, function(t, opt)
    local answer = answers.new(t)
    local context <close> = iommufd.open()
    local dev <close> = vfio.open(opt[option], { iommufd = context })
    local fd = dev:fd()
    info_refusals(answer, fd)
    for _, argsz in ipairs { 20, 28, 64 } do
      answer:ioctl("info, argsz " .. argsz, fd, INFO, info(argsz), "<I4I4I4I4I2I1I1")
    end
    answer:ioctl("reset, no bytes", fd, RESET, "")
    answer:ioctl("reset, 8 bytes", fd, RESET, reset({}):sub(1, 8))
    answer:ioctl("reset, argsz 11", fd, RESET, reset { argsz = 11 })
    answer:ioctl("reset, flags 1", fd, RESET, reset { flags = 1 })
    answer:ioctl("reset, one group", fd, RESET, reset { fds = { fd } })
    answer:ioctl("reset, count 1, no descriptor", fd, RESET, reset { count = 1 })
    answer:ioctl("reset", fd, RESET, reset {})
    answer:ioctl("reset, argsz 64", fd, RESET, reset { argsz = 64 })
    answer("command", dev.load, dev, 7, 4, 2)
    answer("vendor and device", dev.load, dev, 7, 0, 4)
  end }

  cases[#cases + 1] = { "group, " .. option, function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt[option], { via = "group" })
    local fd = dev:fd()
    info_refusals(answer, fd)
    for _, argsz in ipairs { 20, 64 } do
      answer:ioctl("info, argsz " .. argsz, fd, INFO, info(argsz), "<I4I4I4I4I2I1I1")
    end
    answer:ioctl("reset, no groups", fd, RESET, reset {})
    answer:ioctl("reset, flags 1", fd, RESET, reset { flags = 1, fds = { fd } })
    answer:ioctl("reset, no descriptor behind it", fd, RESET, reset { count = 1 })
    answer:ioctl("reset, two descriptors", fd, RESET, reset { fds = { fd, fd } })
    answer:ioctl("reset, 2^32 - 1 descriptors", fd, RESET, reset { count = 0xffffffff })
    answer:ioctl("reset, a closed descriptor", fd, RESET, reset { fds = { 999 } })
    answer:ioctl("reset, -1", fd, RESET, reset { fds = { -1 } })
    answer:ioctl("reset, the device itself", fd, RESET, reset { fds = { fd } })
  end }
end

--- The group files of two devices and their container, all ready for use.
local function with_groups(body)
  return function(t, opt)
    local paths = {}
    for _, found in ipairs(vfio.devices()) do
      paths[found.address] = "/dev/vfio/" .. found.group
    end
    local container <close> = sys.open("/dev/vfio/vfio")
    local group <close> = sys.open(paths[opt.exporter])
    local other <close> = sys.open(paths[opt.engine])
    for _, file in ipairs { group, other } do
      sys.ioctl(file:fd(), "VFIO_GROUP_SET_CONTAINER", string.pack("<i4", container:fd()))
    end
    sys.ioctl(container:fd(), "VFIO_SET_IOMMU", 3)
    local name = opt.exporter .. "\0"
    local device <close> = sys.adopt(sys.ioctl(group:fd(), "VFIO_GROUP_GET_DEVICE_FD", name).result)
    body(answers.new(t), device:fd(), group:fd(), other:fd(), container:fd())
  end
end

cases[#cases + 1] = { "reset by groups", with_groups(function(answer, fd, group, other, container)
  answer:ioctl("info", fd, INFO, info(20), "<I4I4I4I4I2I1I1")
  answer:ioctl("its group", fd, RESET, reset { fds = { group } })
  answer:ioctl("another group", fd, RESET, reset { fds = { other } })
  answer:ioctl("both groups", fd, RESET, reset { fds = { group, other } })
  answer:ioctl("the container", fd, RESET, reset { fds = { container } })
  local buffer <close> = answer:descriptor("export", fd, "VFIO_DEVICE_FEATURE",
    string.pack("<I4I4I4I4I4I4I8I8", 40, 0x1000b, 2, 2, 0, 1, 0, PAGE))
  local context <close> = iommufd.open()
  local ioas <close> = context:alloc_ioas()
  local function map(name)
    local bytes = string.pack("<I4I4I4i4I8I8I8", 40, 7, ioas:id(), buffer:fd(), 0, PAGE, IOVA)
    if answer:ioctl(name, context:fd(), "IOMMU_IOAS_MAP_FILE", bytes) then
      ioas:unmap(IOVA, PAGE)
    end
  end
  map("map")
  answer:ioctl("its group again", fd, RESET, reset { fds = { group } })
  map("map after the reset")
  sys.write(fd, "\0\0", (7 << 40) + 4)
  answer:ioctl("its group, memory off", fd, RESET, reset { fds = { group } })
  map("map, memory off")
  answer("command", sys.read, fd, 2, (7 << 40) + 4)
  sys.write(fd, "\2\0", (7 << 40) + 4)
  map("map, memory on")
end) }

cases[#cases + 1] = { "ids of the iommufd", function(t, opt)
  local answer = answers.new(t)
  local context <close> = iommufd.open()
  local first <close> = vfio.open(opt.engine, { iommufd = context })
  local second <close> = vfio.open(opt.exporter, { iommufd = context })
  answer:ioctl("engine", first:fd(), INFO, info(20), "<I4I4I4I4I2I1I1")
  answer:ioctl("exporter", second:fd(), INFO, info(20), "<I4I4I4I4I2I1I1")
  context:close()
  answer:ioctl("iommufd closed", second:fd(), INFO, info(20), "<I4I4I4I4I2I1I1")
  answer:ioctl("reset, iommufd closed", second:fd(), RESET, reset {})
end }

cases[#cases + 1] = { "what it does to a dma-buf", function(t, opt)
  t:expect_kernel_log("^DMAR", true) -- where the engine reads through a mapping that is gone
  local answer = answers.new(t)
  local edu = require "engines.edu"
  local pattern = require "pattern"
  local dev <close> = vfio.open(opt.exporter)
  local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
  local context <close> = iommufd.open()
  local device <close> = vfio.open(opt.engine, { iommufd = context })
  local ioas <close> = context:alloc_ioas()
  device:attach(ioas)
  local host <close> = memory.alloc(PAGE)
  ioas:map { memory = host, iova = 0x200000 }
  ioas:map_file { dmabuf = buf, length = PAGE, iova = IOVA }
  local engine = edu.start(device)
  local sent = pattern.bytes(64, 7)
  dev:write(2, 0, sent)
  local map <close> = dev:mmap(2, { length = PAGE })
  local function old(name)
    host:fill(0, 64, 0)
    engine:copy(IOVA, 0x200000, 64)
    answer:value(name .. ", the old mapping moves bytes", host:read(0, 64) == sent)
    answer:value(name .. ", the program's mapping too", map:read(0, 64) == sent)
  end
  old("before")
  answer:ioctl("refused", dev:fd(), RESET, reset { flags = 1 })
  old("refused")
  answer:ioctl("reset", dev:fd(), RESET, reset {})
  old("after it")
  answer("a new mapping", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = 0x300000 })
  sys.ioctl(dev:fd(), "VFIO_DEVICE_FEATURE", string.pack("<I4I4", 8, 3 | 1 << 17))
  answer:ioctl("reset asleep", dev:fd(), RESET, reset {})
  answer("a new mapping, asleep", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = 0x400000 })
  device:detach()
end }

cases[#cases + 1] = { "power state and configuration", function(t, opt)
  local answer = answers.new(t)
  local dev <close> = vfio.open(opt.express)
  local buf <close> = dev:export_dmabuf { region_index = 4, ranges = { { offset = 0, length = PAGE } } }
  local context <close> = iommufd.open()
  local ioas <close> = context:alloc_ioas()
  dev:store(7, 0x48, 2, 5)
  dev:store(7, 0x0c, 1, 0x20)
  dev:store(7, 0xe8, 4, 0x1234)
  dev:store(7, POWER_STATE, 2, 3)
  answer:ioctl("reset", dev:fd(), RESET, reset {})
  answer("power state", dev.load, dev, 7, POWER_STATE, 2)
  answer("device control", dev.load, dev, 7, 0x48, 2)
  answer("cache line", dev.load, dev, 7, 0x0c, 1)
  answer("what no capability has", dev.load, dev, 7, 0xe8, 4)
  answer("command", dev.load, dev, 7, 4, 2)
  answer("map", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = IOVA })
  dev:store(7, 0x48, 2, 0)
  dev:store(7, 0x0c, 1, 0)
  dev:store(7, 0xe8, 4, 0)
end }

return {
  name = "conformance-hot-reset",
  about = "resets of a bus, by the character device and by groups",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device that does the DMA" },
    express = { type = "pci", default = "auto", id = "1af4:1044", about = "device with power states" },
  },
  needs = { "vfio.dma_buf", "iommufd" },
  cases = cases,
}
