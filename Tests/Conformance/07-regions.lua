-- What a device says of itself, and access to its regions: read, write, mmap; configuration space.
local vfio, sys, answers = require "vfio", require "sys", require "answers"

local INFO, REGION, IRQ = "VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_GET_REGION_INFO", "VFIO_DEVICE_GET_IRQ_INFO"
local PAGE, MIB, CONFIG = 4096, 1 << 20, 7 << 40

local function region_info(index, argsz)
  return string.pack("<I4I4I4I4I8I8", argsz or 32, 0xffffffff, index, 0xffffffff, -1, -1)
end
local function irq_info(index, argsz)
  return string.pack("<I4I4I4I4", argsz or 16, 0xffffffff, index, 0xffffffff)
end

--- A case for each of the two devices; they differ in BARs, capabilities and interrupts.
local cases = {}
local function both(name, body)
  for _, device in ipairs { "exporter", "engine" } do
    cases[#cases + 1] = { name .. ", " .. device, function(t, opt)
      local dev <close> = vfio.open(opt[device])
      body(answers.new(t), dev:fd(), dev)
    end }
  end
end

--- The same for the exporter alone.
local function exporter(name, body)
  cases[#cases + 1] = { name, function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    body(answers.new(t), dev:fd(), dev)
  end }
end

both("device info", function(answer, fd)
  for _, argsz in ipairs { 0, 8, 15, 16, 20, 24, 64 } do
    local bytes = string.pack("<I4I4I4I4I4I4", argsz, 0, 0, 0, 0, 0) .. ("\0"):rep(40)
    answer:ioctl("argsz " .. argsz, fd, INFO, bytes, "<I4I4I4I4I4I4")
  end
  answer:ioctl("argsz 16, 8 bytes", fd, INFO, string.pack("<I4I4", 16, 0))
  answer:ioctl("argsz 64, 16 bytes", fd, INFO, string.pack("<I4I4I4I4", 64, 0, 0, 0))
  answer:ioctl("argsz 64, 24 bytes", fd, INFO, string.pack("<I4I4I4I4I4I4", 64, 0, 0, 0, 0, 0), "<I4I4I4I4I4I4")
  answer:ioctl("argsz 15, 16 bytes", fd, INFO, string.pack("<I4I4I4I4", 15, 0, 0, 0))
  answer:ioctl("no bytes", fd, INFO, "")
end)

both("region info", function(answer, fd)
  for index = 0, 10 do
    answer:ioctl("region " .. index, fd, REGION, region_info(index), "<I4I4I4I4I8I8")
  end
  answer:ioctl("region 2^32 - 1", fd, REGION, region_info(0xffffffff))
  answer:ioctl("argsz 64", fd, REGION, region_info(2, 64) .. ("\0"):rep(32), "<I4I4I4I4I8I8")
  for _, argsz in ipairs { 0, 8, 31 } do
    answer:ioctl("argsz " .. argsz, fd, REGION, region_info(0, argsz))
    answer:ioctl("region 10, argsz " .. argsz, fd, REGION, region_info(10, argsz))
  end
  answer:ioctl("24 bytes", fd, REGION, region_info(0):sub(1, 24))
  answer:ioctl("no bytes", fd, REGION, "")
end)

both("interrupt info", function(answer, fd)
  for index = 0, 6 do
    answer:ioctl("interrupt " .. index, fd, IRQ, irq_info(index), "<I4I4I4I4")
  end
  answer:ioctl("interrupt 2^32 - 1", fd, IRQ, irq_info(0xffffffff))
  for _, argsz in ipairs { 0, 8, 15, 32 } do
    answer:ioctl("argsz " .. argsz, fd, IRQ, irq_info(0, argsz), "<I4I4I4I4")
  end
  answer:ioctl("12 bytes", fd, IRQ, irq_info(0):sub(1, 12))
  answer:ioctl("no bytes", fd, IRQ, "")
end)

both("unknown requests", function(answer, fd)
  answer:ioctl("VFIO_GET_API_VERSION", fd, "VFIO_GET_API_VERSION", "")
  answer:ioctl("0x3b72", fd, 0x3b72, ("\0"):rep(64))
  answer:ioctl("0x3b73", fd, 0x3b73, ("\0"):rep(64))
  answer:ioctl("0x3b79", fd, 0x3b79, ("\0"):rep(64))
  answer:ioctl("0x3bff", fd, 0x3bff, ("\0"):rep(64))
  answer:ioctl("0", fd, 0, "")
  answer("poll", sys.poll, fd, 5)
  answer("lseek", sys.seek, fd, 0, 0)
  answer("lseek to the end", sys.seek, fd, 0, 2)
  answer("read(2)", sys.read, fd, 4)
  answer("reset", function() sys.ioctl(fd, "VFIO_DEVICE_RESET") end)
end)

both("configuration header", function(answer, _, dev)
  answer("vendor and device", dev.load, dev, 7, 0, 4)
  answer("command", dev.load, dev, 7, 4, 2)
  answer("status", dev.load, dev, 7, 6, 2)
  answer("class and revision", dev.load, dev, 7, 8, 4)
  answer("cache line to BIST", dev.load, dev, 7, 0xc, 4)
  for bar = 0, 5 do
    local value = dev:load(7, 0x10 + 4 * bar, 4)
    answer:value(("BAR %d flags"):format(bar), value & 15)
  end
  answer:value("BAR 0 has an address", dev:load(7, 0x10, 4) & ~15 ~= 0)
  answer:value("BAR 2 has an address", (dev:load(7, 0x18, 4) & ~15 | dev:load(7, 0x1c, 4)) ~= 0)
  answer("CardBus", dev.load, dev, 7, 0x28, 4)
  answer("subsystem", dev.load, dev, 7, 0x2c, 4)
  answer("ROM", dev.load, dev, 7, 0x30, 4)
  answer("first capability", dev.load, dev, 7, 0x34, 4)
  answer("0x38", dev.load, dev, 7, 0x38, 4)
  answer("interrupt pin", dev.load, dev, 7, 0x3d, 1)
  answer("grant and latency", dev.load, dev, 7, 0x3e, 2)
  for place = 0x40, 0x5c, 4 do
    answer(("0x%x"):format(place), dev.load, dev, 7, place, 4)
  end
end)

both("configuration writes", function(answer, _, dev)
  for place = 0, 0x5c, 4 do
    local isBAR = 0x10 <= place and place < 0x28
    local before = dev:load(7, place, 4)
    local ones = place == 4 and 0xffffffff ~ 0x402 or 0xffffffff
    answer(("ones at 0x%02x"):format(place), dev.write, dev, 7, place, string.pack("<I4", ones))
    answer(("0x%02x then"):format(place), dev.load, dev, 7, place, 4)
    answer(("zeros at 0x%02x"):format(place), dev.write, dev, 7, place, "\0\0\0\0")
    local now = dev:load(7, place, 4)
    answer:value(("0x%02x then"):format(place), isBAR and now & 15 or now)
    dev:write(7, place, string.pack("<I4", before))
    answer:value(("0x%02x is back"):format(place), dev:load(7, place, 4) == before)
  end
end)

both("command register", function(answer, _, dev)
  for bit = 0, 15 do
    dev:store(7, 4, 2, 2 | 1 << bit)
    answer(("with bit %d"):format(bit), dev.load, dev, 7, 4, 2)
  end
  dev:store(7, 4, 2, 0)
  answer("zero", dev.load, dev, 7, 4, 2)
  dev:store(7, 4, 1, 0xff)
  answer("low byte ones", dev.load, dev, 7, 4, 2)
  dev:store(7, 5, 1, 0xff)
  answer("high byte ones", dev.load, dev, 7, 4, 2)
  dev:store(7, 5, 1, 0)
  answer("high byte zero", dev.load, dev, 7, 4, 2)
  dev:reset()
  answer("after a reset", dev.load, dev, 7, 4, 2)
end)

both("BARs in configuration space", function(answer, _, dev)
  for bar = 0, 5 do
    local place = 0x10 + 4 * bar
    dev:store(7, place, 4, 0xffffffff)
    answer(("BAR %d after ones"):format(bar), dev.load, dev, 7, place, 4)
    dev:store(7, place, 4, 0x12345678)
    answer(("BAR %d after a number"):format(bar), dev.load, dev, 7, place, 4)
    dev:store(7, place + 2, 1, 0xab)
    answer(("BAR %d after a byte"):format(bar), dev.load, dev, 7, place, 4)
    dev:store(7, place, 2, 0xffff)
    answer(("BAR %d after two bytes"):format(bar), dev.load, dev, 7, place, 4)
  end
  dev:store(7, 0x30, 4, 0xffffffff)
  answer("ROM after ones", dev.load, dev, 7, 0x30, 4)
  dev:reset()
  answer("BAR 0 after a reset", function() return dev:load(7, 0x10, 4) & 15 end)
end)

both("the MSI capability's place", function(answer, _, dev)
  for offset, value in pairs { [0x42] = 0x81 } do
    dev:store(7, offset, 2, value)
    answer("control", dev.load, dev, 7, offset, 2)
  end
  dev:store(7, 0x44, 4, 0xffffffff)
  answer("address", dev.load, dev, 7, 0x44, 4)
  dev:store(7, 0x48, 4, 0xffffffff)
  answer("upper address", dev.load, dev, 7, 0x48, 4)
  dev:store(7, 0x4c, 2, 0xffff)
  answer("data", dev.load, dev, 7, 0x4c, 4)
end)

exporter("bounds of configuration space", function(answer, fd, dev)
  local size = dev:region_info(7).size
  answer("one byte at the end", sys.read, fd, 1, CONFIG + size - 1)
  answer("across the end", sys.read, fd, 4, CONFIG + size - 2)
  answer("at the end", sys.read, fd, 1, CONFIG + size)
  answer("far past the end", sys.read, fd, 1, CONFIG + (1 << 30))
  answer("more than all", sys.read, fd, size + 1, CONFIG)
  answer("nothing past the end", sys.read, fd, 0, CONFIG + size)
  answer("write across the end", sys.write, fd, "\0\0\0\0", CONFIG + size - 2)
  answer("write at the end", sys.write, fd, "\0", CONFIG + size)
  answer("3 bytes", sys.read, fd, 3, CONFIG)
  answer("3 bytes at 1", sys.read, fd, 3, CONFIG + 1)
  answer("8 bytes", sys.read, fd, 8, CONFIG)
  answer("write of 3 bytes at 0x3c", sys.write, fd, "\7\7\7", CONFIG + 0x3c)
  answer("then", sys.read, fd, 4, CONFIG + 0x3c)
end)

exporter("region reads and writes", function(answer, fd, dev)
  local BAR = 2 << 40
  answer("write", sys.write, fd, "0123456789abcdef", BAR + 0x100)
  for _, place in ipairs { { 0x100, 16 }, { 0x101, 3 }, { 0x103, 9 }, { 0x104, 4 }, { 0x107, 2 } } do
    answer(("read of %d at 0x%x"):format(place[2], place[1]), sys.read, fd, place[2], BAR + place[1])
  end
  answer("nothing", sys.read, fd, 0, BAR)
  answer("the last byte", function() return sys.read(fd, 1, BAR + MIB - 1).result end)
  answer("across the end", function() return sys.read(fd, 64, BAR + MIB - 16).result end)
  answer("write across the end", function() return sys.write(fd, ("\0"):rep(64), BAR + MIB - 16).result end)
  answer("at the end", sys.read, fd, 1, BAR + MIB)
  answer("write at the end", sys.write, fd, "\0", BAR + MIB)
  answer("nothing at the end", sys.read, fd, 0, BAR + MIB)
  answer("far past the end", sys.read, fd, 1, BAR + (1 << 39))
  for _, region in ipairs { 1, 3, 4, 5, 6, 8, 9, 10, 100 } do
    answer(("read of region %d"):format(region), sys.read, fd, 4, region << 40)
    answer(("nothing of region %d"):format(region), sys.read, fd, 0, region << 40)
    answer(("write to region %d"):format(region), sys.write, fd, "\0\0\0\0", region << 40)
  end
  answer("across the end of BAR 0", function() return sys.read(fd, 16, 248).result end)
  answer("at the end of BAR 0", sys.read, fd, 1, 256)
  dev:store(7, 4, 2, 0)
  answer("memory off, read", sys.read, fd, 4, BAR)
  answer("memory off, write", sys.write, fd, "\0\0\0\0", BAR)
  answer("memory off, nothing", sys.read, fd, 0, BAR)
  answer("memory off, at the end", sys.read, fd, 4, BAR + MIB)
  answer("memory off, configuration", sys.read, fd, 4, CONFIG)
  dev:store(7, 4, 2, 2)
  answer("memory on, read", sys.read, fd, 4, BAR + 0x100)
  dev:reset()
  answer("after a reset", sys.read, fd, 4, BAR + 0x100)
end)

exporter("mmap", function(answer, fd)
  local function try(name, region, offset, length, how)
    how = how or {}
    how.length, how.offset = length, (region << 40) + offset
    answer(name, sys.mmap, fd, how)
  end
  for region = 0, 9 do
    try("a page of region " .. region, region, 0, PAGE)
  end
  try("whole", 2, 0, MIB)
  try("the last page", 2, MIB - PAGE, PAGE)
  try("past the end", 2, MIB, PAGE)
  try("across the end", 2, MIB - PAGE, 2 * PAGE)
  try("far past the end", 2, 1 << 39, PAGE)
  try("unaligned", 2, 1, PAGE)
  try("a byte", 2, 0, 1)
  try("nothing", 2, 0, 0)
  try("private", 2, 0, PAGE, { flags = 2 })
  try("to read", 2, 0, PAGE, { prot = 1 })
  try("to write", 2, 0, PAGE, { prot = 2 })
  try("to execute", 2, 0, PAGE, { prot = 5 })
  try("256 bytes of BAR 0", 0, 0, 256)
  try("two pages of BAR 0", 0, 0, 2 * PAGE)
  try("the second page of BAR 0", 0, PAGE, PAGE)
end)

exporter("access through a mapping", function(answer, _, dev)
  local map <close> = dev:mmap(2, { offset = PAGE, length = PAGE })
  map:write(0, "through the mapping")
  answer("read through the region", dev.read, dev, 2, PAGE, 19)
  dev:write(2, PAGE, "through the region!")
  answer("read through the mapping", map.read, map, 0, 19)
  dev:store(7, 4, 2, 0)
  answer("memory off, read", map.read, map, 0, 4)
  answer("memory off, write", map.write, map, 0, "1234")
  answer("memory off, mmap", function()
    local other <close> = dev:mmap(2, { length = PAGE })
    answer("memory off, read of the new one", other.read, other, 0, 4)
  end)
  dev:store(7, 4, 2, 2)
  answer("memory on, read", map.read, map, 0, 19)
  sys.ioctl(dev:fd(), "VFIO_DEVICE_FEATURE", string.pack("<I4I4", 8, 3 | 1 << 17))
  answer("asleep, read", map.read, map, 0, 19)
  answer("asleep, read through the region", dev.read, dev, 2, PAGE, 19)
  sys.ioctl(dev:fd(), "VFIO_DEVICE_FEATURE", string.pack("<I4I4", 8, 5 | 1 << 17))
  answer("awake, read", map.read, map, 0, 19)
  dev:reset()
  answer("after a reset, read", map.read, map, 0, 19)
  dev:close()
  answer("device closed, read", map.read, map, 0, 19)
end)

return {
  name = "conformance-regions",
  about = "device, region and interrupt info; reads, writes and mappings of regions; configuration space",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device with BAR 0 of 256 bytes, BAR 2 of 1 MiB" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device with an MSI capability" },
  },
  cases = cases,
}
