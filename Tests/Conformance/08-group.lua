-- The older way: container, group, type1; each misused, and what is left afterwards.
local vfio, iommufd, type1, memory, sys, answers =
  require "vfio", require "iommufd", require "type1", require "memory", require "sys", require "answers"

local STATUS, SET_CONTAINER, UNSET, DEVICE_FD =
  "VFIO_GROUP_GET_STATUS", "VFIO_GROUP_SET_CONTAINER", "VFIO_GROUP_UNSET_CONTAINER", "VFIO_GROUP_GET_DEVICE_FD"
local MAP, UNMAP, GET_INFO = "VFIO_IOMMU_MAP_DMA", "VFIO_IOMMU_UNMAP_DMA", "VFIO_IOMMU_GET_INFO"
local PAGE, MAX = 4096, -1

local function status(argsz)
  return string.pack("<I4I4", argsz or 8, 0)
end
local function descriptor(fd)
  return string.pack("<i4", fd)
end
local function map(va, iova, size, how)
  how = how or {}
  return string.pack("<I4I4I8I8I8", how.argsz or 32, how.flags or 3, va, iova, size)
end
local function unmap(iova, size, how)
  how = how or {}
  return string.pack("<I4I4I8I8", how.argsz or 24, how.flags or 0, iova, size)
end
local SIZE = "<xxxxxxxxxxxxxxxxI8" -- of UNMAP

local function group_of(address)
  for _, found in ipairs(vfio.devices()) do
    if found.address == address then
      return "/dev/vfio/" .. found.group, "/dev/vfio/devices/" .. found.cdev
    end
  end
end

--- Hands over a recorder, an open group and an empty container.
local function with_group(body)
  return function(t, opt)
    local group, cdev = group_of(opt.exporter)
    local group_file <close> = sys.open(group)
    local container <close> = sys.open("/dev/vfio/vfio")
    body(answers.new(t), group_file:fd(), container:fd(), opt, { group = group, cdev = cdev, container = container })
  end
end

--- Hands over a recorder and a container of that type with the exporter in it, and 16 pages.
local function with_type1(kind, body)
  return with_group(function(answer, group, container, opt)
    sys.ioctl(group, SET_CONTAINER, descriptor(container))
    sys.ioctl(container, "VFIO_SET_IOMMU", kind)
    local host <close> = memory.alloc(16 * PAGE)
    host:fill(0, 16 * PAGE, 1)
    local device <close> = sys.adopt(sys.ioctl(group, DEVICE_FD, opt.exporter .. "\0").result)
    body(answer, container, host:addr(), device:fd(), opt)
  end)
end

local cases = {
  { "empty container", function(t)
    local answer = answers.new(t)
    local file <close> = sys.open("/dev/vfio/vfio")
    local fd = file:fd()
    answer("API version", sys.ioctl, fd, "VFIO_GET_API_VERSION")
    for number = 0, 12 do
      answer("extension " .. number, sys.ioctl, fd, "VFIO_CHECK_EXTENSION", number)
    end
    for _, kind in ipairs { 0, 1, 3, 8, 99 } do
      answer("SET_IOMMU " .. kind, sys.ioctl, fd, "VFIO_SET_IOMMU", kind)
    end
    answer:ioctl("GET_INFO", fd, GET_INFO, ("\0"):rep(64))
    answer:ioctl("MAP_DMA", fd, MAP, map(0, 0, PAGE))
    answer:ioctl("an unknown request", fd, 0x3bff, "")
    answer("read", sys.read, fd, 4)
    answer("write", sys.write, fd, "1234")
    answer("lseek", sys.seek, fd, 0, 0)
    answer("mmap", sys.mmap, fd, { length = PAGE })
    answer("poll", sys.poll, fd, 5)
  end },

  { "group without a container", with_group(function(answer, group, container, opt, names)
    answer:ioctl("status", group, STATUS, status(), "<I4I4")
    for _, argsz in ipairs { 0, 4, 7, 16 } do
      answer:ioctl("status, argsz " .. argsz, group, STATUS, status(argsz))
    end
    answer:ioctl("status, 4 bytes", group, STATUS, "\8\0\0\0")
    answer:ioctl("status, no bytes", group, STATUS, "")
    answer:ioctl("UNSET_CONTAINER", group, UNSET, "")
    answer:closed("GET_DEVICE_FD", group, DEVICE_FD, opt.exporter .. "\0")
    answer:ioctl("GET_DEVICE_FD of nothing", group, DEVICE_FD, "\0")
    answer:ioctl("GET_DEVICE_FD without NUL", group, DEVICE_FD, "0000")
    answer:ioctl("GET_DEVICE_FD, no bytes", group, DEVICE_FD, "")
    answer:ioctl("GET_DEVICE_FD of 4096 bytes", group, DEVICE_FD, ("x"):rep(4096) .. "\0")
    answer:ioctl("an unknown request", group, 0x3bff, "")
    answer:ioctl("a container's request", group, "VFIO_GET_API_VERSION", "")
    answer:ioctl("a device's request", group, "VFIO_DEVICE_GET_INFO", ("\0"):rep(64))
    answer("read", sys.read, group, 4)
    answer("mmap", sys.mmap, group, { length = PAGE })
    answer("a second open", sys.open, names.group)
    answer("a group that is not there", sys.open, "/dev/vfio/999")
  end) },

  { "SET_CONTAINER", with_group(function(answer, group, container)
    answer:ioctl("no bytes", group, SET_CONTAINER, "")
    answer("NULL", sys.ioctl, group, SET_CONTAINER, 0)
    answer:ioctl("-1", group, SET_CONTAINER, descriptor(-1))
    answer:ioctl("a closed descriptor", group, SET_CONTAINER, descriptor(999))
    answer:ioctl("itself", group, SET_CONTAINER, descriptor(group))
    local event <close> = sys.eventfd()
    answer:ioctl("an eventfd", group, SET_CONTAINER, descriptor(event:fd()))
    answer:ioctl("a container", group, SET_CONTAINER, descriptor(container))
    answer:ioctl("the same again", group, SET_CONTAINER, descriptor(container))
    answer:ioctl("a closed descriptor, set already", group, SET_CONTAINER, descriptor(999))
    answer:ioctl("status", group, STATUS, status(), "<I4I4")
    answer:ioctl("UNSET_CONTAINER", group, UNSET, "")
    answer:ioctl("UNSET_CONTAINER again", group, UNSET, "")
    answer:ioctl("status then", group, STATUS, status(), "<I4I4")
    answer:ioctl("another time", group, SET_CONTAINER, descriptor(container))
  end) },

  { "SET_IOMMU", with_group(function(answer, group, container)
    sys.ioctl(group, SET_CONTAINER, descriptor(container))
    for number = 0, 12 do
      answer("extension " .. number, sys.ioctl, container, "VFIO_CHECK_EXTENSION", number)
    end
    for _, kind in ipairs { 0, 2, 4, 7, 8, 99 } do
      answer("type " .. kind, sys.ioctl, container, "VFIO_SET_IOMMU", kind)
    end
    answer:ioctl("MAP_DMA before", container, MAP, map(0, 0, PAGE))
    answer("type 3", sys.ioctl, container, "VFIO_SET_IOMMU", 3)
    answer("type 3 again", sys.ioctl, container, "VFIO_SET_IOMMU", 3)
    answer("type 1 now", sys.ioctl, container, "VFIO_SET_IOMMU", 1)
    for number = 0, 12 do
      answer("extension " .. number .. " then", sys.ioctl, container, "VFIO_CHECK_EXTENSION", number)
    end
    answer:ioctl("UNSET_CONTAINER", group, UNSET, "")
    answer("type 3, container empty", sys.ioctl, container, "VFIO_SET_IOMMU", 3)
    answer:ioctl("MAP_DMA, container empty", container, MAP, map(0, 0, PAGE))
    answer:ioctl("SET_CONTAINER again", group, SET_CONTAINER, descriptor(container))
    answer("type 1 then", sys.ioctl, container, "VFIO_SET_IOMMU", 1)
  end) },

  { "GET_DEVICE_FD", with_group(function(answer, group, container, opt, names)
    sys.ioctl(group, SET_CONTAINER, descriptor(container))
    answer:closed("before SET_IOMMU", group, DEVICE_FD, opt.exporter .. "\0")
    sys.ioctl(container, "VFIO_SET_IOMMU", 3)
    answer:closed("another group's device", group, DEVICE_FD, opt.engine .. "\0")
    answer:closed("a short address", group, DEVICE_FD, opt.exporter:sub(6) .. "\0")
    answer:closed("an option that does not exist", group, DEVICE_FD, opt.exporter .. " x=1\0")
    answer:closed("a token", group, DEVICE_FD, opt.exporter .. " vf_token=00000000-0000-0000-0000-000000000001\0")
    answer:closed("a token that is none", group, DEVICE_FD, opt.exporter .. " vf_token=1\0")
    answer:closed("a blank behind it", group, DEVICE_FD, opt.exporter .. " \0")
    answer:closed("a blank before it", group, DEVICE_FD, " " .. opt.exporter .. "\0")
    answer:closed("more behind it", group, DEVICE_FD, opt.exporter .. "0\0")
    local device <close> = answer:descriptor("good", group, DEVICE_FD, opt.exporter .. "\0")
    answer("F_GETFD", sys.fcntl, device:fd(), 1)
    answer("F_GETFL", sys.fcntl, device:fd(), 3)
    answer:closed("twice", group, DEVICE_FD, opt.exporter .. "\0")
    answer:ioctl("UNSET_CONTAINER, device open", group, UNSET, "")
    answer:ioctl("status", group, STATUS, status(), "<I4I4")
    local context <close> = iommufd.open()
    local cdev <close> = sys.open(names.cdev)
    local bind = string.pack("<I4I4i4I4I8", 24, 0, context:fd(), 0, 0)
    answer:ioctl("BIND of the character device", cdev:fd(), "VFIO_DEVICE_BIND_IOMMUFD", bind)
    answer:ioctl("BIND of the group's device", device:fd(), "VFIO_DEVICE_BIND_IOMMUFD", bind)
    answer:ioctl("ATTACH", device:fd(), "VFIO_DEVICE_ATTACH_IOMMUFD_PT", string.pack("<I4I4I4I4", 16, 0, 1, 0))
    answer:ioctl("DETACH", device:fd(), "VFIO_DEVICE_DETACH_IOMMUFD_PT", string.pack("<I4I4I4", 12, 0, 0))
    answer("read of configuration space", sys.read, device:fd(), 4, 7 << 40)
    device:close()
    answer:ioctl("UNSET_CONTAINER, device closed", group, UNSET, "")
  end) },

  { "what closing leaves", function(t, opt)
    local answer = answers.new(t)
    local path = group_of(opt.exporter)
    local group = sys.open(path)
    local container = sys.open("/dev/vfio/vfio")
    sys.ioctl(group:fd(), SET_CONTAINER, descriptor(container:fd()))
    sys.ioctl(container:fd(), "VFIO_SET_IOMMU", 3)
    local device = sys.adopt(sys.ioctl(group:fd(), DEVICE_FD, opt.exporter .. "\0").result)
    group:close()
    answer("the group, its device open", sys.open, path)
    answer("read", sys.read, device:fd(), 4, 7 << 40)
    container:close()
    answer("read, container closed", sys.read, device:fd(), 4, 7 << 40)
    device:close()
    answer("the group, all closed", sys.open, path)
  end },

  { "two groups in one container", with_group(function(answer, group, container, opt)
    local path = group_of(opt.engine)
    local other <close> = sys.open(path)
    answer:ioctl("the first", group, SET_CONTAINER, descriptor(container))
    answer("SET_IOMMU", sys.ioctl, container, "VFIO_SET_IOMMU", 3)
    answer:ioctl("the second", other:fd(), SET_CONTAINER, descriptor(container))
    local host <close> = memory.alloc(PAGE)
    answer:ioctl("map", container, MAP, map(host:addr(), 0x10000, PAGE))
    answer:ioctl("the first leaves", group, UNSET, "")
    answer:ioctl("unmap", container, UNMAP, unmap(0x10000, PAGE), SIZE)
    answer:ioctl("the second leaves", other:fd(), UNSET, "")
    answer:ioctl("unmap, all left", container, UNMAP, unmap(0x10000, PAGE))
  end) },
}

local function both(name, body)
  cases[#cases + 1] = { name .. ", type1v2", with_type1(3, body) }
  cases[#cases + 1] = { name .. ", type1", with_type1(1, body) }
end

both("map", function(answer, fd, va, device)
  local function try(name, ...)
    answer:ioctl(name, fd, MAP, map(...))
  end
  try("a page", va, 0x10000, PAGE)
  try("the same", va, 0x10000, PAGE)
  try("overlapping", va, 0xf000, 2 * PAGE)
  try("IOVA 0", va, 0, PAGE)
  try("size 0", va, 0x20000, 0)
  try("size 1", va, 0x20000, 1)
  try("IOVA 1", va, 0x20001, PAGE)
  try("address 1", va + 1, 0x20000, PAGE)
  try("flags 0", va, 0x20000, PAGE, { flags = 0 })
  try("to read", va, 0x20000, PAGE, { flags = 1 })
  try("to write", va, 0x21000, PAGE, { flags = 2 })
  try("flag 8", va, 0x30000, PAGE, { flags = 3 | 8 })
  try("flag 4", va, 0x30000, PAGE, { flags = 4 })
  try("flag 4 and access", va, 0x30000, PAGE, { flags = 7 })
  try("size wraps with IOVA", va, -PAGE, 2 * PAGE)
  try("size wraps with address", -PAGE, 0x30000, 2 * PAGE)
  try("IOVA at the end", va, -PAGE, PAGE)
  try("size 2^64 - 1", va, 0, MAX)
  try("size 2^63", va, 0x30000, math.mininteger)
  try("size 0 and wrapping", va, MAX, 0)
  try("the interrupt window", va, 0xfee00000, PAGE)
  try("across it", va, 0xfedff000, 2 * PAGE)
  try("beyond the aperture", va, 1 << 52, PAGE)
  try("unmapped address", 0x1000, 0x40000, PAGE)
  try("kernel address", -2 * PAGE, 0x40000, PAGE)
  for _, argsz in ipairs { 0, 24, 31, 64 } do
    try("argsz " .. argsz, va, 0x50000, PAGE, { argsz = argsz })
  end
  answer:ioctl("24 bytes", fd, MAP, map(va, 0x60000, PAGE):sub(1, 24))
  answer:ioctl("no bytes", fd, MAP, "")
  local bar <close> = sys.mmap(device, { length = 4 * PAGE, offset = 2 << 40 })
  try("a BAR", bar:addr(), 0x70000, 4 * PAGE)
  try("a page of it, to read", bar:addr() + PAGE, 0x80000, PAGE, { flags = 1 })
  answer:ioctl("the BAR is unmapped", fd, UNMAP, unmap(0x70000, 4 * PAGE), SIZE)
  sys.write(device, "\0\0", (7 << 40) + 4)
  try("a BAR without memory decode", bar:addr(), 0x90000, PAGE)
end)

both("unmap", function(answer, fd, va)
  local function try(name, ...)
    answer:ioctl(name, fd, UNMAP, unmap(...), SIZE)
  end
  try("nothing", 0x10000, PAGE)
  for i = 0, 3 do
    answer:ioctl("map " .. i, fd, MAP, map(va, 0x10000 + 2 * i * PAGE, 2 * PAGE))
  end
  try("size 0", 0x10000, 0)
  try("size 1", 0x10000, 1)
  try("IOVA 1", 0x10001, PAGE)
  try("first half", 0x10000, PAGE)
  try("second half", 0x11000, PAGE)
  try("one and a half", 0x10000, 3 * PAGE)
  try("half and one", 0x11000, 3 * PAGE)
  try("one", 0x12000, 2 * PAGE)
  try("wrapping", -PAGE, 2 * PAGE)
  try("size 2^64 - 1", 0, MAX)
  try("flag 1 without a bitmap", 0x10000, 2 * PAGE, { flags = 1 })
  try("flag 8", 0x10000, 2 * PAGE, { flags = 8 })
  try("all, with a size", 0, PAGE, { flags = 2 })
  try("all, with an IOVA", PAGE, 0, { flags = 2 })
  for _, argsz in ipairs { 0, 16, 23, 64 } do
    try("argsz " .. argsz, 0x80000, PAGE, { argsz = argsz })
  end
  answer:ioctl("16 bytes", fd, UNMAP, unmap(0x10000, PAGE):sub(1, 16))
  try("a larger range", 0, 0x100000)
  answer:ioctl("map", fd, MAP, map(va, 0x10000, 2 * PAGE))
  answer:ioctl("map far away", fd, MAP, map(va, 0x10000000, 2 * PAGE))
  try("all", 0, 0, { flags = 2 })
  try("all again", 0, 0, { flags = 2 })
end)

both("dirty pages", function(answer, fd, va)
  local DIRTY, START, STOP, GET = "VFIO_IOMMU_DIRTY_PAGES", 1, 2, 4
  local bitmap <close> = memory.alloc(PAGE)
  local function ask(name, flags, argsz)
    answer:ioctl(name, fd, DIRTY, string.pack("<I4I4", argsz or 8, flags))
  end
  local function get(name, iova, size, how)
    how = how or {}
    bitmap:fill(0, PAGE, 0)
    if how.before then
      bitmap:write(0, how.before)
    end
    local got = answer:ioctl(name, fd, DIRTY, string.pack("<I4I4I8I8I8I8I8", how.argsz or 48, GET | (how.flags or 0),
      iova, size, how.pgsize or PAGE, how.room or 64, how.data or bitmap:addr()))
    if got then
      answer:value(name .. ", the bits", bitmap:read(0, 24))
    end
  end
  get("bits before START", 0, PAGE)
  for _, unknown in ipairs { 0, 3, 5, 6, 7, 8, 9, 0x80000000 } do
    ask("flags " .. unknown, unknown)
  end
  for _, argsz in ipairs { 0, 4, 7, 9 } do
    ask("START, argsz " .. argsz, START, argsz)
  end
  answer:ioctl("no bytes", fd, DIRTY, "")
  answer:ioctl("4 bytes", fd, DIRTY, string.pack("<I4", 8))
  ask("START again", START)
  get("nothing mapped", 0x10000, PAGE)
  get("nothing mapped, bits set", 0x10000, PAGE, { before = ("\xff"):rep(24) })
  answer:ioctl("map 2 pages", fd, MAP, map(va, 0x10000, 2 * PAGE))
  answer:ioctl("map 3 pages, to read", fd, MAP, map(va, 0x14000, 3 * PAGE, { flags = 1 }))
  answer:ioctl("map a page far behind", fd, MAP, map(va, 0x10000 + 70 * PAGE, PAGE))
  for _, argsz in ipairs { 8, 16, 47, 49 } do
    get("argsz " .. argsz, 0x10000, 2 * PAGE, { argsz = argsz })
  end
  answer:ioctl("8 bytes that say 48", fd, DIRTY, string.pack("<I4I4", 48, GET))
  get("with another flag", 0x10000, 2 * PAGE, { flags = 1 })
  get("size 0", 0x10000, 0)
  get("size 1", 0x10000, 1)
  get("size 4097", 0x10000, PAGE + 1)
  get("IOVA 1", 0x10001, 2 * PAGE)
  get("wrapping", -PAGE, 2 * PAGE)
  get("wrapping, no room", -PAGE, 2 * PAGE, { room = 0 })
  get("wrapping, IOVA 1", 1 - PAGE, 2 * PAGE)
  get("size 0, no room, at the end", MAX, 0, { room = 0 })
  get("to the very end", -PAGE, PAGE)
  get("all addresses", 0, MAX, { room = 1 << 28 })
  for _, pgsize in ipairs { 0, 1, 2048, 4097, 8192, 0x200000, math.mininteger } do
    get("page size " .. pgsize, 0x10000, 2 * PAGE, { pgsize = pgsize })
  end
  for _, room in ipairs { 0, 1, 7, 8, (1 << 28) + 1, -1 } do
    get("room " .. room, 0x10000, 2 * PAGE, { room = room })
  end
  get("no memory", 0x10000, 2 * PAGE, { data = 0x1000 })
  get("kernel memory", 0x10000, 2 * PAGE, { data = -2 * PAGE })
  get("the first", 0x10000, 2 * PAGE)
  get("bits set before", 0x10000, 2 * PAGE, { before = ("\xff"):rep(24) })
  get("its first half", 0x10000, PAGE)
  get("its second half", 0x11000, PAGE)
  get("one and a half", 0x10000, 5 * PAGE)
  get("the first two", 0x10000, 8 * PAGE)
  get("the first two again", 0x10000, 8 * PAGE)
  get("the second", 0x14000, 3 * PAGE)
  get("all, bits set before", 0x10000, 128 * PAGE, { before = ("\xff"):rep(24) })
  get("all again", 0x10000, 128 * PAGE)
  get("from below", 0xf000, 128 * PAGE)
  answer:ioctl("unmap the first", fd, UNMAP, unmap(0x10000, 2 * PAGE), SIZE)
  answer:ioctl("map it again", fd, MAP, map(va, 0x10000, 2 * PAGE))
  get("all, then", 0x10000, 128 * PAGE)
  get("no memory, moved", 0x10000, 8 * PAGE, { data = 0x1000 })
  get("moved, no memory", 0xf000, 8 * PAGE, { data = 0x1000 })
  get("all, after that", 0x10000, 128 * PAGE)
  ask("STOP", STOP)
  ask("STOP again", STOP)
  get("bits after STOP", 0x10000, 128 * PAGE)
  ask("START then", START)
  get("bits after START", 0x10000, 128 * PAGE)
end)

both("info", function(answer, fd)
  for _, argsz in ipairs { 0, 15, 16, 20, 24, 64, 108, 256 } do
    local function output(bytes)
      local size, flags, sizes, cap = string.unpack("<I4I4I8I4", bytes)
      return ("argsz %d, flags %d, pages %x, capabilities at %d"):format(size, flags, sizes, cap)
    end
    answer:ioctl("argsz " .. argsz, fd, GET_INFO, string.pack("<I4", argsz) .. ("\0"):rep(math.max(argsz, 24) - 4), output)
  end
  answer:ioctl("no bytes", fd, GET_INFO, "")
  answer:ioctl("8 bytes", fd, GET_INFO, string.pack("<I4I4", 64, 0))
  answer:ioctl("all of it", fd, GET_INFO, string.pack("<I4", 256) .. ("\0"):rep(252), function(bytes)
    local words = {}
    for place = 24, 124, 4 do
      words[#words + 1] = ("%x"):format(string.unpack("<I4", bytes, place + 1))
    end
    return table.concat(words, " ")
  end)
  answer:ioctl("an unknown request", fd, 0x3bff, "")
end)

cases[#cases + 1] = { "what a device's memory is to type1", function(t, opt)
  local answer = answers.new(t)
  local container <close> = type1.open()
  local dev <close> = vfio.open(opt.exporter, { via = "group", container = container })
  local buf <close> = answer("export", dev.export_dmabuf, dev, { region_index = 2, ranges = { { offset = 0, length = PAGE } } })
  answer("mmap of the dma-buf", sys.mmap, buf:fd(), { length = PAGE })
  local context <close> = iommufd.open()
  local ioas <close> = context:alloc_ioas()
  answer("MAP_FILE of a group's device", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = 0x10000 })
  dev:close()
  answer("MAP_FILE, device closed", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = 0x20000 })
end }

return {
  name = "conformance-group",
  about = "container, group and type1: open, set, map and unmap, each misused",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device of the group" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device of another group" },
  },
  needs = { "type1" },
  cases = cases,
}
