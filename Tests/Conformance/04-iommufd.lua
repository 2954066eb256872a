-- iommufd: how requests are read, address spaces, MAP, UNMAP, COPY, DESTROY, IOVA_RANGES; without a device, and with one.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"

local PAGE, MAX = 4096, -1
local FIXED, WRITE, READ = 1, 2, 4
local DESTROY, ALLOC, COPY, RANGES, MAP, UNMAP, MAP_FILE = "IOMMU_DESTROY", "IOMMU_IOAS_ALLOC", "IOMMU_IOAS_COPY",
  "IOMMU_IOAS_IOVA_RANGES", "IOMMU_IOAS_MAP", "IOMMU_IOAS_UNMAP", "IOMMU_IOAS_MAP_FILE"

local function map(ioas, va, length, iova, flags, reserved)
  return string.pack("<I4I4I4I4I8I8I8", 40, flags or READ | WRITE | FIXED, ioas, reserved or 0, va, length, iova)
end
local function map_file(ioas, fd, start, length, iova, flags)
  return string.pack("<I4I4I4i4I8I8I8", 40, flags or READ | WRITE | FIXED, ioas, fd, start, length, iova)
end
local function copy(target, source, length, to, from, flags)
  return string.pack("<I4I4I4I4I8I8I8", 40, flags or READ | WRITE | FIXED, target, source, length, to, from)
end
local function unmap(ioas, iova, length)
  return string.pack("<I4I4I8I8", 24, ioas, iova, length)
end
local function ranges(ioas, count, address, reserved)
  return string.pack("<I4I4I4I4I8I8", 32, ioas, count, reserved or 0, address, 0)
end
local LENGTH = "<xxxxxxxxxxxxxxxxI8" -- of UNMAP

--- Hands over a recorder, a context, an address space and 16 pages of host memory. `attached`: to the engine.
local function with_ioas(attached, body)
  return function(t, opt)
    local context <close> = iommufd.open()
    local device <close> = attached and vfio.open(opt.engine, { iommufd = context }) or nil
    local ioas <close> = context:alloc_ioas()
    if device then
      device:attach(ioas)
    end
    local host <close> = memory.alloc(16 * PAGE)
    host:fill(0, 16 * PAGE, 1)
    body(answers.new(t), context:fd(), ioas:id(), host:addr(), context, opt)
    if device then
      device:detach()
    end
  end
end

--- Adds the case without a device and with one.
local cases = {}
local function both(name, body)
  cases[#cases + 1] = { name, with_ioas(false, body) }
  cases[#cases + 1] = { name .. ", attached", with_ioas(true, body) }
end

cases[#cases + 1] = { "how requests are read", with_ioas(false, function(answer, fd, ioas)
  answer:ioctl("no bytes", fd, ALLOC, "")
  answer:ioctl("3 bytes", fd, ALLOC, "\12\0\0")
  answer:ioctl("size 12, 8 bytes", fd, ALLOC, string.pack("<I4I4", 12, 0))
  for _, size in ipairs { 0, 4, 8, 11 } do
    answer:ioctl("size " .. size, fd, ALLOC, string.pack("<I4I4I4", size, 0, 0))
  end
  answer:ioctl("size 16, tail 0", fd, ALLOC, string.pack("<I4I4I4I4", 16, 0, 0, 0))
  answer:ioctl("size 16, tail 1", fd, ALLOC, string.pack("<I4I4I4I4", 16, 0, 0, 1))
  answer:ioctl("size 16, 12 bytes", fd, ALLOC, string.pack("<I4I4I4", 16, 0, 0))
  answer:ioctl("size 2^32 - 1", fd, ALLOC, string.pack("<I4I4I4", 0xffffffff, 0, 0))
  answer:ioctl("flags 1", fd, ALLOC, string.pack("<I4I4I4", 12, 1, 0))
  answer("NULL", sys.ioctl, fd, ALLOC, 0)
  answer:ioctl("number with direction bits", fd, 0xc00c3b81, string.pack("<I4I4I4", 12, 0, 0))
  answer:ioctl("number with direction bits, no bytes", fd, 0xc00c3b81, "")
  for number = 0x3b7e, 0x3b7f do
    answer:ioctl(("number 0x%x"):format(number), fd, number, ("\0"):rep(64))
  end
  for number = 0x3b96, 0x3b98 do
    answer:ioctl(("number 0x%x"):format(number), fd, number, string.pack("<I4", 64) .. ("\0"):rep(60))
  end
  answer:ioctl("another type", fd, 0x6200, ("\0"):rep(64))
  answer:ioctl("MAP, size 39", fd, MAP, string.pack("<I4", 39) .. map(ioas, 0, PAGE, 0):sub(5))
  answer:ioctl("MAP_FILE, size 39", fd, MAP_FILE, string.pack("<I4", 39) .. map(ioas, 0, PAGE, 0):sub(5))
  answer:ioctl("COPY, size 39", fd, COPY, string.pack("<I4", 39) .. map(ioas, 0, PAGE, 0):sub(5))
  answer:ioctl("UNMAP, size 23", fd, UNMAP, string.pack("<I4", 23) .. unmap(ioas, 0, 0):sub(5))
  answer:ioctl("RANGES, size 31", fd, RANGES, string.pack("<I4", 31) .. ranges(ioas, 0, 0):sub(5))
  answer:ioctl("DESTROY, size 7", fd, DESTROY, string.pack("<I4I4", 7, ioas))
  answer("read", sys.read, fd, 8)
  answer("write", sys.write, fd, "x")
  answer("lseek", sys.seek, fd, 0, 0)
  answer("mmap", sys.mmap, fd, { length = PAGE })
  answer("poll", sys.poll, fd, 5)
end) }

cases[#cases + 1] = { "destroy", function(t, opt)
  local answer = answers.new(t)
  local context <close> = iommufd.open()
  local fd = context:fd()
  local function destroy(name, id)
    answer:ioctl(name, fd, DESTROY, string.pack("<I4I4", 8, id))
  end
  destroy("id 0", 0)
  destroy("id 1000", 1000)
  destroy("id 2^32 - 1", 0xffffffff)
  local data = assert(sys.ioctl(fd, ALLOC, string.pack("<I4I4I4", 12, 0, 0)).bytes)
  local id = string.unpack("<I4", data, 9)
  local host <close> = memory.alloc(PAGE)
  answer:ioctl("map into it", fd, MAP, map(id, host:addr(), PAGE, 0x10000))
  destroy("an address space with a mapping", id)
  destroy("the same again", id)
  answer:ioctl("map into what is gone", fd, MAP, map(id, host:addr(), PAGE, 0x10000))
  local device <close> = vfio.open(opt.engine, { iommufd = context })
  local ioas <close> = context:alloc_ioas()
  local table_id = device:attach(ioas)
  destroy("an attached address space", ioas:id())
  destroy("its page table", table_id)
  answer:ioctl("map into the page table", fd, MAP, map(table_id, host:addr(), PAGE, 0x10000))
  answer:ioctl("ranges of the page table", fd, RANGES, ranges(table_id, 0, 0))
  device:detach()
  destroy("the page table, detached", table_id)
end }

both("map", function(answer, fd, ioas, va)
  local function try(name, ...)
    answer:ioctl(name, fd, MAP, map(...))
  end
  try("a page", ioas, va, PAGE, 0x10000)
  try("the same IOVA", ioas, va, PAGE, 0x10000)
  try("overlapping from below", ioas, va, 2 * PAGE, 0xf000)
  try("overlapping from above", ioas, va, 2 * PAGE, 0x10000)
  try("its neighbour", ioas, va + PAGE, PAGE, 0x11000)
  try("IOVA 0", ioas, va, PAGE, 0)
  try("16 pages", ioas, va, 16 * PAGE, 0x100000)
  try("flag 8", ioas, va, PAGE, 0x20000, READ | FIXED | 8)
  try("flag 2^31", ioas, va, PAGE, 0x20000, READ | FIXED | 1 << 31)
  try("flags 0", ioas, va, PAGE, 0x20000, 0)
  try("fixed only", ioas, va, PAGE, 0x20000, FIXED)
  try("read only", ioas, va, PAGE, 0x20000, FIXED | READ)
  try("write only", ioas, va, PAGE, 0x21000, FIXED | WRITE)
  try("reserved 1", ioas, va, PAGE, 0x30000, nil, 1)
  try("reserved 1, no access", ioas, va, PAGE, 0x30000, FIXED, 1)
  try("no address space", 1000, va, PAGE, 0x30000)
  try("id 0", 0, va, PAGE, 0x30000)
  try("length 0", ioas, va, 0, 0x30000)
  try("length 0, no address space", 1000, va, 0, 0x30000)
  try("length 2^64 - 1", ioas, va, MAX, 0x30000)
  try("length 2^64 - 1, no address space", 1000, va, MAX, 0x30000)
  try("IOVA 2^64 - 1", ioas, va, PAGE, MAX)
  try("IOVA 2^64 - 1, no access", ioas, va, PAGE, MAX, FIXED)
  try("IOVA and length wrap", ioas, va, 2 * PAGE, -PAGE)
  try("address and length wrap", ioas, -PAGE, 2 * PAGE, 0x30000)
  try("address 2^64 - page", ioas, -PAGE, PAGE, 0x30000)
  try("IOVA at the end", ioas, va, PAGE, -PAGE)
  try("length 2^63", ioas, va, math.mininteger, 0x30000)
  try("length 2^63, anywhere", ioas, va, math.mininteger, 0, READ)
  try("length 2^62, anywhere", ioas, 0, 1 << 62, 0, READ)
  try("the interrupt window", ioas, va, PAGE, 0xfee00000)
  try("across the interrupt window", ioas, va, 2 * PAGE, 0xfedff000)
  try("above 2^39", ioas, va, PAGE, 1 << 39)
  try("above 2^48", ioas, va, PAGE, 1 << 48)
  try("above 2^57", ioas, va, PAGE, 1 << 57)
end)

both("alignment", function(answer, fd, ioas, va)
  local function try(name, ...)
    answer:ioctl(name, fd, MAP, map(...))
  end
  try("IOVA 0x40010", ioas, va, PAGE, 0x40010)
  try("length 16", ioas, va, 16, 0x50000)
  try("length 4097", ioas, va, PAGE + 1, 0x60000)
  try("address 16", ioas, va + 16, PAGE, 0x70000)
  try("address and IOVA 16", ioas, va + 16, PAGE, 0x80010)
  try("length 1, anywhere", ioas, va, 1, 0, READ)
  try("address 16, anywhere", ioas, va + 16, PAGE, 0, READ)
end)

both("map anywhere", function(answer, fd, ioas, va)
  local seen = {}
  for i = 1, 3 do
    local data = answer:ioctl("page " .. i, fd, MAP, map(ioas, va, PAGE, 0, READ | WRITE))
    local iova = data and string.unpack("<I8", data, 33) or 0
    answer:value("page " .. i .. " is at 0", iova == 0)
    answer:value("page " .. i .. " is where another is", seen[iova] == true)
    answer:value("page " .. i .. " in the page", iova & 4095)
    answer:ioctl("unmapping page " .. i .. " by two", fd, UNMAP, unmap(ioas, iova, 3 * PAGE))
    seen[iova] = true
  end
  local data = answer:ioctl("an IOVA is ignored", fd, MAP, map(ioas, va, PAGE, 0x7777000, READ | WRITE))
  answer:value("ignored", data and string.unpack("<I8", data, 33) ~= 0x7777000)
end)

both("map of what is no memory", function(answer, fd, ioas, va, _, opt)
  answer:ioctl("unmapped address", fd, MAP, map(ioas, 0x1000, PAGE, 0x10000))
  answer:ioctl("kernel address", fd, MAP, map(ioas, 0xffff800000000000, PAGE, 0x20000))
  answer:ioctl("not canonical", fd, MAP, map(ioas, 1 << 60, PAGE, 0x30000))
  answer:ioctl("partly unmapped", fd, MAP, map(ioas, va, 1 << 40, 0x100000000))
  local dev <close> = vfio.open(opt.exporter)
  local bar <close> = dev:mmap(2, { length = PAGE })
  answer:ioctl("a BAR", fd, MAP, map(ioas, bar:addr(), PAGE, 0x50000))
  answer:ioctl("a BAR to read", fd, MAP, map(ioas, bar:addr(), PAGE, 0x60000, READ | FIXED))
end)

both("unmap", function(answer, fd, ioas, va)
  local function try(name, iova, length, id)
    answer:ioctl(name, fd, UNMAP, unmap(id or ioas, iova, length), LENGTH)
  end
  try("everything of nothing", 0, MAX)
  try("a page of nothing", 0x10000, PAGE)
  try("length 0", 0x10000, 0)
  try("length 0 at 0", 0, 0)
  try("no address space", 0x10000, PAGE, 1000)
  try("length 0, no address space", 0x10000, 0, 1000)
  try("wrapping", -PAGE, 2 * PAGE)
  try("wrapping by all", PAGE, MAX)
  try("IOVA 2^64 - 1", MAX, 1)
  for i = 0, 3 do
    answer:ioctl("map " .. i, fd, MAP, map(ioas, va, 2 * PAGE, 0x10000 + i * 2 * PAGE))
  end
  try("its first half", 0x10000, PAGE)
  try("its second half", 0x11000, PAGE)
  try("one and a half", 0x10000, 3 * PAGE)
  try("half and one", 0x11000, 3 * PAGE)
  try("a byte of it", 0x10000, 1)
  try("exactly one", 0x10000, 2 * PAGE)
  try("the same again", 0x10000, 2 * PAGE)
  try("from the hole over the next", 0x10000, 4 * PAGE)
  try("a larger range", 0x8000, 0x100000)
  answer:ioctl("map", fd, MAP, map(ioas, va, 2 * PAGE, 0x10000))
  answer:ioctl("map far away", fd, MAP, map(ioas, va, 2 * PAGE, 0x10000000))
  try("everything less one", 0, MAX - 1)
  answer:ioctl("map", fd, MAP, map(ioas, va, 2 * PAGE, 0x10000))
  try("everything", 0, MAX)
  try("everything again", 0, MAX)
end)

both("copy", function(answer, fd, ioas, va, context)
  local other <close> = context:alloc_ioas()
  local target = other:id()
  local function try(name, ...)
    answer:ioctl(name, fd, COPY, copy(...))
  end
  answer:ioctl("map 4 pages", fd, MAP, map(ioas, va, 4 * PAGE, 0x10000))
  answer:ioctl("map 4 more", fd, MAP, map(ioas, va + 8 * PAGE, 4 * PAGE, 0x14000))
  answer:ioctl("map read only", fd, MAP, map(ioas, va, PAGE, 0x40000, READ | FIXED))
  try("whole", target, ioas, 4 * PAGE, 0x10000, 0x10000)
  try("to the same place", target, ioas, 4 * PAGE, 0x10000, 0x10000)
  try("a part", target, ioas, PAGE, 0x20000, 0x11000)
  try("across two", target, ioas, 4 * PAGE, 0x30000, 0x12000)
  try("past the end", target, ioas, 4 * PAGE, 0x40000, 0x16000)
  try("from a hole", target, ioas, PAGE, 0x50000, 0x50000)
  try("into itself", ioas, ioas, PAGE, 0x50000, 0x10000)
  try("read only as writable", target, ioas, PAGE, 0x60000, 0x40000)
  try("read only as read only", target, ioas, PAGE, 0x60000, 0x40000, READ | FIXED)
  try("writable as read only", target, ioas, PAGE, 0x61000, 0x10000, READ | FIXED)
  try("and that again as writable", ioas, target, PAGE, 0x61000, 0x61000)
  try("flags 0", target, ioas, PAGE, 0x70000, 0x10000, 0)
  try("flag 8", target, ioas, PAGE, 0x70000, 0x10000, READ | 8)
  try("length 0", target, ioas, 0, 0x70000, 0x10000)
  try("length 2^64 - 1", target, ioas, MAX, 0x70000, 0x10000)
  try("source IOVA 2^64 - 1", target, ioas, PAGE, 0x70000, MAX)
  try("target IOVA 2^64 - 1", target, ioas, PAGE, MAX, 0x10000)
  try("source wraps", target, ioas, 2 * PAGE, 0x70000, -PAGE)
  try("target wraps", target, ioas, 2 * PAGE, -PAGE, 0x10000)
  try("no source", target, 1000, PAGE, 0x70000, 0x10000)
  try("no target", 1000, ioas, PAGE, 0x70000, 0x10000)
  try("neither", 1000, 1001, PAGE, 0x70000, 0x10000)
  try("no target, from a hole", 1000, ioas, PAGE, 0x70000, 0x90000)
  try("length 16", target, ioas, 16, 0x70000, 0x10000)
  try("IOVA 16", target, ioas, PAGE, 0x80010, 0x10000)
  try("source IOVA 16", target, ioas, PAGE, 0x90000, 0x10010)
  try("both 16", target, ioas, PAGE, 0xa0010, 0x10010)
  try("into the interrupt window", ioas, ioas, PAGE, 0xfee00000, 0x10000)
  local data = answer:ioctl("anywhere", fd, COPY, copy(target, ioas, PAGE, 0, 0x10000, READ))
  answer:value("at 0", data and string.unpack("<I8", data, 25) == 0)
  answer:ioctl("everything is unmapped there", fd, UNMAP, unmap(ioas, 0, MAX), LENGTH)
  answer:ioctl("a copy stays", fd, UNMAP, unmap(target, 0x10000, 4 * PAGE), LENGTH)
  try("a copy of a copy", ioas, target, PAGE, 0x10000, 0x20000)
end)

both("ranges", function(answer, fd, ioas)
  local space <close> = memory.alloc(PAGE)
  local function try(name, ...)
    answer:ioctl(name, fd, RANGES, ranges(...), "<xxxxxxxxI4xxxxxxxxxxxxI8")
  end
  try("16 places", ioas, 16, space:addr())
  answer:value("first", string.unpack("<I8", space:read(0, 8)))
  answer:value("first last", string.unpack("<I8", space:read(8, 8)))
  answer:value("second", string.unpack("<I8", space:read(16, 8)))
  answer:value("second last", string.unpack("<I8", space:read(24, 8)))
  try("0 places", ioas, 0, 0)
  try("1 place", ioas, 1, space:addr())
  try("1 place at NULL", ioas, 1, 0)
  try("reserved 1", ioas, 16, space:addr(), 1)
  try("no address space", 1000, 16, space:addr())
end)

both("map a file", function(answer, fd, ioas, _, context, opt)
  local dev <close> = vfio.open(opt.exporter)
  local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4 * PAGE } } }
  local two <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE }, { offset = 0, length = PAGE } } }
  local function try(name, ...)
    answer:ioctl(name, fd, MAP_FILE, map_file(...))
  end
  try("whole", ioas, buf:fd(), 0, 4 * PAGE, 0x10000)
  try("the same IOVA", ioas, buf:fd(), 0, 4 * PAGE, 0x10000)
  try("again elsewhere", ioas, buf:fd(), 0, 4 * PAGE, 0x20000)
  try("a page of it", ioas, buf:fd(), PAGE, PAGE, 0x30000)
  try("its last page", ioas, buf:fd(), 3 * PAGE, PAGE, 0x31000)
  try("read only", ioas, buf:fd(), 0, PAGE, 0x32000, READ | FIXED)
  try("past the end", ioas, buf:fd(), 0, 5 * PAGE, 0x40000)
  try("at the end", ioas, buf:fd(), 4 * PAGE, PAGE, 0x40000)
  try("start 2^63", ioas, buf:fd(), math.mininteger, PAGE, 0x40000)
  try("start and length wrap", ioas, buf:fd(), -PAGE, 2 * PAGE, 0x40000)
  try("start and length reach 2^64", ioas, buf:fd(), -PAGE, PAGE, 0x40000)
  try("length 0", ioas, buf:fd(), 0, 0, 0x40000)
  try("length 2^64 - 1", ioas, buf:fd(), 0, MAX, 0x40000)
  try("IOVA 2^64 - 1", ioas, buf:fd(), 0, PAGE, MAX)
  try("flags 0", ioas, buf:fd(), 0, PAGE, 0x40000, 0)
  try("flag 8", ioas, buf:fd(), 0, PAGE, 0x40000, READ | 8)
  try("descriptor -1", ioas, -1, 0, PAGE, 0x40000)
  try("descriptor 999", ioas, 999, 0, PAGE, 0x40000)
  try("descriptor 999, length 0", ioas, 999, 0, 0, 0x40000)
  try("descriptor 999, no address space", 1000, 999, 0, PAGE, 0x40000)
  try("two ranges", ioas, two:fd(), 0, PAGE, 0x40000)
  try("two ranges, past the end", ioas, two:fd(), 0, 3 * PAGE, 0x40000)
  try("start 16", ioas, buf:fd(), 16, PAGE, 0x50000)
  try("start and IOVA 16", ioas, buf:fd(), 16, PAGE, 0x60010)
  try("length 16", ioas, buf:fd(), 0, 16, 0x70000)
  try("the interrupt window", ioas, buf:fd(), 0, PAGE, 0xfee00000)
  local data = answer:ioctl("anywhere", fd, MAP_FILE, map_file(ioas, buf:fd(), 0, PAGE, 0, READ))
  answer:value("at 0", data and string.unpack("<I8", data, 33) == 0)
  answer:ioctl("a copy of it", fd, COPY, copy(ioas, ioas, PAGE, 0x80000, 0x10000))
  answer:ioctl("a part is unmapped", fd, UNMAP, unmap(ioas, 0x10000, PAGE), LENGTH)
  answer:ioctl("it is unmapped", fd, UNMAP, unmap(ioas, 0x10000, 4 * PAGE), LENGTH)
  buf:close()
  answer:ioctl("another is unmapped, dma-buf closed", fd, UNMAP, unmap(ioas, 0x20000, 4 * PAGE), LENGTH)
  try("a closed descriptor", ioas, 998, 0, PAGE, 0x90000)
  local readonly <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } }, open_flags = 0 }
  try("a descriptor to read only, writable", ioas, readonly:fd(), 0, PAGE, 0x90000)
  try("/dev/iommu", ioas, context:fd(), 0, PAGE, 0xa0000)
  try("the VFIO device", ioas, dev:fd(), 0, PAGE, 0xb0000)
end)

both("map a memfd", function(answer, fd, ioas)
  local file <close> = sys.memfd(4 * PAGE)
  local function try(name, ...)
    answer:ioctl(name, fd, MAP_FILE, map_file(ioas, file:fd(), ...))
  end
  try("whole", 0, 4 * PAGE, 0x10000)
  try("a page", PAGE, PAGE, 0x20000)
  try("read only", PAGE, PAGE, 0x30000, READ | FIXED)
  try("past the end", 0, 5 * PAGE, 0x40000)
  try("at the end", 4 * PAGE, PAGE, 0x50000)
  answer:ioctl("unmap", fd, UNMAP, unmap(ioas, 0x10000, 4 * PAGE), LENGTH)
end)

both("another context's address space", function(answer, fd, ioas, va, context)
  local other <close> = iommufd.open()
  answer:ioctl("map by the other", other:fd(), MAP, map(ioas, va, PAGE, 0x10000))
  local theirs <close> = other:alloc_ioas()
  answer:value("ids start alike", theirs:id() <= ioas)
  answer:ioctl("destroy by the other", other:fd(), DESTROY, string.pack("<I4I4", 8, 77))
end)

return {
  name = "conformance-iommufd",
  about = "iommufd requests, with and without an attached device",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device that is attached" },
  },
  needs = { "iommufd" },
  cases = cases,
}
