-- A PCI Express function: what vfio shows of its capabilities and keeps of writes to them; the BAR with the MSI-X table.
-- Its power states and resets are another file's.
local vfio, iommufd, sys, answers = require "vfio", require "iommufd", require "sys", require "answers"

local PAGE, IOVA = 4096, 0x180000
local TABLE, CONFIG = 1 << 40, 7 << 40
local FEATURE, REGION = "VFIO_DEVICE_FEATURE", "VFIO_DEVICE_GET_REGION_INFO"
-- Where its capabilities are: Express, power, vendor specific, MSI-X; error reporting, address translation.
local EXPRESS, POWER, VENDOR, MSIX, ERRORS, SERVICES = 0x40, 0x7c, 0xc8, 0xdc, 0x100, 0x148
local DEVICE_CONTROL, POWER_STATE = EXPRESS + 8, POWER + 4

local cases = {}

--- Adds a case that is given a recorder, the device's descriptor, the device.
local function case(name, body)
  cases[#cases + 1] = { name, function(t, opt)
    local dev <close> = vfio.open(opt.express)
    body(answers.new(t), dev:fd(), dev)
  end }
end

local function export(dev, region, length)
  return dev:export_dmabuf { region_index = region, ranges = { { offset = 0, length = length or PAGE } } }
end

local function state(dev)
  return dev:load(7, POWER_STATE, 2) & 3
end

case("device, region and interrupt info", function(answer, fd)
  for _, argsz in ipairs { 15, 16, 24, 64 } do
    local bytes = string.pack("<I4I4I4I4I4I4", argsz, 0, 0, 0, 0, 0) .. ("\0"):rep(40)
    answer:ioctl("device, argsz " .. argsz, fd, "VFIO_DEVICE_GET_INFO", bytes, "<I4I4I4I4I4I4")
  end
  local function region(index, argsz)
    return string.pack("<I4I4I4I4I8I8", argsz, 0xffffffff, index, 0xffffffff, -1, -1) .. ("\xff"):rep(32)
  end
  for index = 0, 9 do
    answer:ioctl("region " .. index, fd, REGION, region(index, 64), "<I4I4I4I4I8I8I2I2I4I4")
  end
  for _, argsz in ipairs { 0, 31, 32, 36, 39, 40, 41, 48 } do
    answer:ioctl("region 1, argsz " .. argsz, fd, REGION, region(1, argsz), "<I4I4I4I4I8I8I2I2I4I4")
  end
  answer:ioctl("region 1, argsz 40, 32 bytes", fd, REGION, region(1, 40):sub(1, 32), "<I4I4I4I4I8I8")
  answer:ioctl("region 1, argsz 32, 32 bytes", fd, REGION, region(1, 32):sub(1, 32), "<I4I4I4I4I8I8")
  for index = 0, 4 do
    local bytes = string.pack("<I4I4I4I4", 16, 0xffffffff, index, 0xffffffff)
    answer:ioctl("interrupt " .. index, fd, "VFIO_DEVICE_GET_IRQ_INFO", bytes, "<I4I4I4I4")
  end
end)

case("the MSI-X table", function(answer, fd, dev)
  answer("read", sys.read, fd, 32, TABLE)
  answer("a byte", sys.read, fd, 1, TABLE + 31)
  answer("the byte behind it", sys.read, fd, 1, TABLE + 32)
  answer("across its end", sys.read, fd, 16, TABLE + 24)
  answer("the pending bits", sys.read, fd, 8, TABLE + 0x800)
  answer("all", function() return sys.read(fd, PAGE, TABLE).result end)
  answer("at the end", sys.read, fd, 4, TABLE + PAGE)
  answer("write", sys.write, fd, ("\0"):rep(32), TABLE)
  answer("write of a byte", sys.write, fd, "\0", TABLE + 12)
  answer("read then", sys.read, fd, 32, TABLE)
  answer("write across its end", sys.write, fd, ("\0"):rep(16), TABLE + 24)
  answer("write at the end", sys.write, fd, "\0", TABLE + PAGE)
  dev:store(7, 4, 2, 0)
  answer("memory off, read", sys.read, fd, 32, TABLE)
  answer("memory off, write", sys.write, fd, ("\0"):rep(32), TABLE)
  answer("memory off, across its end", sys.read, fd, 16, TABLE + 24)
  answer("memory off, behind it", sys.read, fd, 4, TABLE + 32)
  dev:store(7, 4, 2, 2)
  answer("mmap", function()
    local map <close> = dev:mmap(1, { length = PAGE })
    answer("the pending bits through it", map.read, map, 0x800, 8)
  end)
  answer("mmap of two pages", sys.mmap, fd, { length = 2 * PAGE, offset = TABLE })
end)

case("export", function(answer, fd)
  for region = 0, 8 do
    for _, length in ipairs { PAGE, 4 * PAGE, 8 * PAGE } do
      answer:closed(("region %d, %d pages"):format(region, length // PAGE), fd, FEATURE,
        string.pack("<I4I4I4I4I4I4I8I8", 40, 0x1000b, region, 2, 0, 1, 0, length))
    end
    answer:closed(("region %d, the second page"):format(region), fd, FEATURE,
      string.pack("<I4I4I4I4I4I4I8I8", 40, 0x1000b, region, 2, 0, 1, PAGE, PAGE))
  end
end)

case("import of the BAR with the MSI-X table", function(answer, _, dev)
  local context <close> = iommufd.open()
  local ioas <close> = context:alloc_ioas()
  local buf <close> = export(dev, 1)
  answer("size", sys.seek, buf:fd(), 0, 2)
  answer("map", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = IOVA })
  answer("unmap", ioas.unmap, ioas, IOVA, PAGE)
  dev:store(7, POWER_STATE, 2, 3)
  answer("D3hot, map", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = IOVA })
  dev:store(7, POWER_STATE, 2, 0)
  answer("D0, map", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = IOVA })
end)

--- Writes and reads back at each of the places, and puts back what was there.
local function write_all(answer, dev, first, last)
  for place = first, last, 4 do
    local before = dev:load(7, place, 4)
    local ones = place == 4 and 0xffffffff ~ 0x402 or 0xffffffff
    answer(("0x%03x"):format(place), dev.load, dev, 7, place, 4)
    answer(("ones at 0x%03x"):format(place), dev.write, dev, 7, place, string.pack("<I4", ones))
    answer(("0x%03x then"):format(place), dev.load, dev, 7, place, 4)
    dev:store(7, place, 4, 0)
    answer(("0x%03x, zeros"):format(place), dev.load, dev, 7, place, 4)
    dev:store(7, place, 4, before)
    answer:value(("0x%03x is back"):format(place), dev:load(7, place, 4) == before)
  end
end

case("configuration header", function(answer, _, dev)
  for place = 0, 0x3c, 4 do
    local isAddress = place == 0x14 or place == 0x20 or place == 0x24
    if not isAddress then
      write_all(answer, dev, place, place)
    else
      dev:store(7, place, 4, 0xffffffff)
      answer(("0x%02x after ones"):format(place), dev.load, dev, 7, place, 4)
      dev:store(7, place, 4, 0x12345678)
      answer(("0x%02x after a number"):format(place), dev.load, dev, 7, place, 4)
    end
  end
end)

case("Express capability", function(answer, _, dev)
  write_all(answer, dev, EXPRESS, POWER - 4)
  for _, place in ipairs { EXPRESS + 8, EXPRESS + 0x10, EXPRESS + 0x28 } do
    dev:store(7, place, 1, 0x0f)
    answer(("0x%x after a byte"):format(place), dev.load, dev, 7, place, 2)
    dev:store(7, place + 1, 1, 0x70)
    answer(("0x%x after its second byte"):format(place), dev.load, dev, 7, place, 2)
    dev:store(7, place, 2, 0)
    answer(("0x%x after zeros"):format(place), dev.load, dev, 7, place, 2)
  end
  dev:store(7, DEVICE_CONTROL, 2, 0x7fff)
  dev:reset()
  answer("device control after a reset", dev.load, dev, 7, DEVICE_CONTROL, 2)
  dev:store(7, DEVICE_CONTROL, 2, 0)
end)

case("power and vendor capabilities", function(answer, _, dev)
  write_all(answer, dev, POWER, MSIX - 4)
  answer("3 bytes across its end", dev.write, dev, 7, MSIX - 2, "\xff\xff\xff")
  answer("then", dev.read, dev, 7, MSIX - 2, 4)
  dev:store(7, VENDOR + 8, 4, 0x11223344)
  dev:reset()
  answer("after a reset", dev.load, dev, 7, VENDOR + 8, 4)
  dev:store(7, VENDOR + 8, 4, 0)
end)

case("MSI-X capability and behind it", function(answer, _, dev)
  write_all(answer, dev, MSIX, 0xfc)
  answer("enable bits", dev.write, dev, 7, MSIX + 2, "\xff\xff")
  answer("then", dev.load, dev, 7, MSIX + 2, 2)
  answer("table", dev.write, dev, 7, MSIX + 4, "\7\0\0\0")
  answer("then", dev.load, dev, 7, MSIX + 4, 4)
end)

case("extended capabilities and behind them", function(answer, _, dev)
  write_all(answer, dev, ERRORS, 0x17c)
  write_all(answer, dev, 0xff0, 0xffc)
  answer("services", dev.write, dev, 7, SERVICES + 4, "\0\0\0\x80")
  answer("then", dev.load, dev, 7, SERVICES + 4, 4)
  dev:store(7, ERRORS + 0x14, 4, 0x1000)
  dev:reset()
  answer("corrected errors' mask after a reset", dev.load, dev, 7, ERRORS + 0x14, 4)
  dev:store(7, ERRORS + 0x14, 4, 0xe000)
end)

case("address translation while attached", function(answer, _, dev)
  answer("before", dev.load, dev, 7, SERVICES + 4, 4)
  local address = dev:address()
  dev:close()
  local context <close> = iommufd.open()
  local ioas <close> = context:alloc_ioas()
  local bound <close> = vfio.open(address, { iommufd = context })
  answer("bound", bound.load, bound, 7, SERVICES + 4, 4)
  bound:attach(ioas)
  answer("attached", bound.load, bound, 7, SERVICES + 4, 4)
  bound:store(7, SERVICES + 4, 4, 0)
  answer("zeros written", bound.load, bound, 7, SERVICES + 4, 4)
  bound:reset()
  answer("after a reset", bound.load, bound, 7, SERVICES + 4, 4)
  bound:detach()
  answer("detached", bound.load, bound, 7, SERVICES + 4, 4)
end)

case("bounds of configuration space", function(answer, fd)
  answer("the last byte", sys.read, fd, 1, CONFIG + 4095)
  answer("the last four", sys.read, fd, 4, CONFIG + 4092)
  answer("across the end", sys.read, fd, 4, CONFIG + 4094)
  answer("at the end", sys.read, fd, 1, CONFIG + 4096)
  answer("write across the end", sys.write, fd, "\0\0\0\0", CONFIG + 4094)
  answer("write at the end", sys.write, fd, "\0", CONFIG + 4096)
  answer("all", function() return sys.read(fd, 4096, CONFIG).result end)
  answer("more than all", sys.read, fd, 4097, CONFIG)
end)

case("what a close leaves of configuration space", function(answer, _, dev)
  local writes = { { 0x0c, 1, 0x10 }, { DEVICE_CONTROL, 2, 5 }, { 0xe8, 4, 0x1234 }, { ERRORS + 0x14, 4, 0x1000 } }
  local before = {}
  for i, write in ipairs(writes) do
    before[i] = dev:load(7, write[1], write[2])
    dev:store(7, table.unpack(write))
  end
  dev:store(7, 4, 2, 0)
  dev:store(7, POWER_STATE, 2, 3)
  local address = dev:address()
  dev:close()
  local again <close> = vfio.open(address)
  for i, write in ipairs(writes) do
    answer(("0x%x"):format(write[1]), again.load, again, 7, write[1], write[2])
    again:store(7, write[1], write[2], before[i])
  end
  answer("command", again.load, again, 7, 4, 2)
  answer:value("power state", state(again))
end)

return {
  name = "conformance-express",
  about = "a PCI Express function: capabilities, MSI-X table",
  options = { express = { type = "pci", default = "auto", id = "1af4:1044", about = "QEMU's virtio-rng" } },
  needs = { "vfio.dma_buf", "iommufd" },
  cases = cases,
}
