-- udmabuf and dma-heaps: creation misused, their dma-bufs' own operations, and what importers say of them.
local vfio, iommufd, sys, answers = require "vfio", require "iommufd", require "sys", require "answers"

local CREATE, CREATE_LIST, ALLOC, SYNC = 0x40187542, 0x40087543, 0xc0184800, 0x40086200
local PAGE = 4096
local SHRINK, GROW, WRITE, FUTURE = 2, 4, 8, 16 -- seals

local function create(memfd, offset, size, flags)
  return string.pack("<I4I4I8I8", memfd & 0xffffffff, flags or 1, offset, size)
end
local function list(flags, items, count)
  local bytes = string.pack("<I4I4", flags, count or #items)
  for _, item in ipairs(items) do
    bytes = bytes .. string.pack("<I4I4I8I8", item[1] & 0xffffffff, 0, item[2], item[3])
  end
  return bytes
end
local function heap(length, how)
  how = how or {}
  return string.pack("<I8I4I4I8", length, how.fd or 0, how.fd_flags or 0x80002, how.flags or 0)
end

--- A memfd of `pages` pages with these seals.
local function sealed(pages, seals)
  local file = sys.memfd(pages * PAGE)
  if seals ~= 0 then
    sys.fcntl(file:fd(), 1033, seals)
  end
  return file
end

local function with_udmabuf(body)
  return function(t, opt)
    local device <close> = sys.open("/dev/udmabuf")
    local memory <close> = sealed(8, SHRINK)
    body(answers.new(t), device:fd(), memory:fd(), opt)
  end
end

--- What the dma-buf of any exporter with memory answers.
local function operations(answer, fd, size)
  answer("size", sys.seek, fd, 0, 2)
  answer("F_GETFD", sys.fcntl, fd, 1)
  answer("F_GETFL", sys.fcntl, fd, 3)
  local file <close> = sys.open("/proc/self/fdinfo/" .. fd, 0)
  answer:value("exporter", sys.read(file:fd(), 4096).bytes:match("exp_name:\t(%g+)"))
  answer("read", sys.read, fd, 8)
  answer("write", sys.write, fd, "x")
  answer("poll", sys.poll, fd, 5)
  answer:ioctl("end before start", fd, SYNC, string.pack("<I8", 7))
  answer:ioctl("start", fd, SYNC, string.pack("<I8", 3))
  local map <close> = answer("mmap", sys.mmap, fd, { length = size })
  if map then
    answer("read of the mapping", map.read, map, 0, 8)
    answer("write of the mapping", map.write, map, 0, "written")
    answer("then", map.read, map, 0, 8)
  end
  answer:ioctl("end", fd, SYNC, string.pack("<I8", 7))
  answer:ioctl("end again", fd, SYNC, string.pack("<I8", 7))
  answer:ioctl("start to read", fd, SYNC, string.pack("<I8", 1))
  answer:ioctl("end to read", fd, SYNC, string.pack("<I8", 5))
  answer("mmap past the end", sys.mmap, fd, { length = size + PAGE })
  answer("mmap of the last page", sys.mmap, fd, { length = PAGE, offset = size - PAGE })
  answer("mmap at the end", sys.mmap, fd, { length = PAGE, offset = size })
  answer("private mmap", sys.mmap, fd, { length = PAGE, flags = 2 })
  answer:ioctl("a name", fd, 0x40086201, "name\0")
  answer("link", sys.readlink, "/proc/self/fd/" .. fd)
  local context <close> = iommufd.open()
  local ioas <close> = context:alloc_ioas()
  local request = string.pack("<I4I4I4i4I8I8I8", 40, 7, ioas:id(), fd, 0, PAGE, 0x10000)
  answer:ioctl("MAP_FILE", context:fd(), "IOMMU_IOAS_MAP_FILE", request)
  answer:ioctl("MAP_FILE past the end", context:fd(), "IOMMU_IOAS_MAP_FILE",
    string.pack("<I4I4I4i4I8I8I8", 40, 7, ioas:id(), fd, 0, size + PAGE, 0x10000))
end

return {
  name = "conformance-udmabuf",
  about = "udmabuf and dma-heaps: creation, operations of their dma-bufs, importers",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "a VFIO device" },
  },
  needs = { "iommufd" },
  cases = {
    { "create", with_udmabuf(function(answer, fd, memfd, opt)
      local function try(name, ...)
        answer:closed(name, fd, CREATE, create(...))
      end
      try("a page", memfd, 0, PAGE)
      try("all", memfd, 0, 8 * PAGE)
      try("the last page", memfd, 7 * PAGE, PAGE)
      try("past the end", memfd, 0, 9 * PAGE)
      try("at the end", memfd, 8 * PAGE, PAGE)
      try("size 0", memfd, 0, 0)
      try("size 1", memfd, 0, 1)
      try("offset 1", memfd, 1, PAGE)
      try("size 0, no memfd", -1, 0, 0)
      try("size 1, no memfd", -1, 0, 1)
      try("no memfd", -1, 0, PAGE)
      try("a closed descriptor", 999, 0, PAGE)
      try("the device", fd, 0, PAGE)
      local event <close> = sys.eventfd()
      try("an eventfd", event:fd(), 0, PAGE)
      try("offset wraps", memfd, -PAGE, 2 * PAGE)
      try("size 2^63", memfd, 0, math.mininteger)
      try("size 64 MiB", memfd, 0, 64 << 20)
      try("size 64 MiB and a page", memfd, 0, (64 << 20) + PAGE)
      try("flags 0", memfd, 0, PAGE, 0)
      try("flags 2", memfd, 0, PAGE, 2)
      try("flags 2^32 - 1", memfd, 0, PAGE, 0xffffffff)
      answer:closed("no bytes", fd, CREATE, "")
      answer:closed("16 bytes", fd, CREATE, create(memfd, 0, PAGE):sub(1, 16))
      answer:ioctl("an unknown request", fd, 0x40187544, create(memfd, 0, PAGE))
      answer:ioctl("without a size", fd, 0x7542, create(memfd, 0, PAGE))
      answer("read", sys.read, fd, 4)
      answer("mmap", sys.mmap, fd, { length = PAGE })
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
      try("a VFIO dma-buf", buf:fd(), 0, PAGE)
    end) },

    { "seals", with_udmabuf(function(answer, fd)
      for _, seals in ipairs { 0, 1, SHRINK, GROW, WRITE, SHRINK | GROW, SHRINK | WRITE, SHRINK | FUTURE, SHRINK | 1, SHRINK | 32 } do
        local file <close> = sealed(2, seals)
        answer:closed(("seals 0x%x"):format(seals), fd, CREATE, create(file:fd(), 0, PAGE))
      end
      local unsealable <close> = sys.memfd(PAGE, 0)
      answer:closed("a memfd without seals", fd, CREATE, create(unsealable:fd(), 0, PAGE))
      answer("its seals", sys.fcntl, unsealable:fd(), 1034)
    end) },

    { "memfd", function(t)
      local answer = answers.new(t)
      local file <close> = sys.memfd(2 * PAGE)
      local fd = file:fd()
      answer("seals", sys.fcntl, fd, 1034)
      answer("seal", sys.fcntl, fd, 1033, SHRINK)
      answer("seals then", sys.fcntl, fd, 1034)
      answer("a seal that does not exist", sys.fcntl, fd, 1033, 256)
      answer("seal the seals", sys.fcntl, fd, 1033, 1)
      answer("seal then", sys.fcntl, fd, 1033, GROW)
      answer("size", sys.seek, fd, 0, 2)
      answer("write", sys.write, fd, "1234", 0)
      answer("read", sys.read, fd, 4, 0)
      answer("F_GETFL", sys.fcntl, fd, 3)
    end },

    { "create from a list", with_udmabuf(function(answer, fd, memfd)
      local function try(name, ...)
        answer:closed(name, fd, CREATE_LIST, list(...))
      end
      try("one", 1, { { memfd, 0, PAGE } })
      try("two", 1, { { memfd, 0, PAGE }, { memfd, 4 * PAGE, 2 * PAGE } })
      try("the same twice", 1, { { memfd, 0, PAGE }, { memfd, 0, PAGE } })
      try("none", 1, {})
      try("none readable", 1, {}, 1)
      try("one of two readable", 1, { { memfd, 0, PAGE } }, 2)
      try("the second empty", 1, { { memfd, 0, PAGE }, { memfd, 0, 0 } })
      try("all empty", 1, { { memfd, 0, 0 } })
      try("the second past the end", 1, { { memfd, 0, PAGE }, { memfd, 8 * PAGE, PAGE } })
      try("the second unaligned", 1, { { memfd, 0, PAGE }, { memfd, 1, PAGE } })
      try("the second no memfd", 1, { { memfd, 0, PAGE }, { -1, 0, PAGE } })
      try("1025 wanted", 1, {}, 1025)
      try("2^32 - 1 wanted", 1, {}, 0xffffffff)
      try("flags 2^32 - 1", 0xffffffff, { { memfd, 0, PAGE } })
      answer:closed("no bytes", fd, CREATE_LIST, "")
      answer:closed("4 bytes", fd, CREATE_LIST, "\1\0\0\0")
    end) },

    { "operations of a udmabuf", with_udmabuf(function(answer, fd, memfd)
      sys.write(memfd, "from the memfd", PAGE)
      local buf <close> = sys.adopt(sys.ioctl(fd, CREATE, create(memfd, PAGE, 2 * PAGE)).result)
      operations(answer, buf:fd(), 2 * PAGE)
      answer("the memfd", sys.read, memfd, 8, PAGE)
    end) },

    { "a udmabuf outlives", function(t)
      local answer = answers.new(t)
      local device = sys.open("/dev/udmabuf")
      local memory = sealed(2, SHRINK)
      sys.write(memory:fd(), "kept", 0)
      local buf <close> = sys.adopt(sys.ioctl(device:fd(), CREATE, create(memory:fd(), 0, PAGE)).result)
      device:close()
      memory:close()
      local map <close> = sys.mmap(buf:fd(), { length = PAGE })
      answer("its bytes", map.read, map, 0, 4)
    end },

    { "heap", function(t)
      local answer = answers.new(t)
      local file <close> = sys.open("/dev/dma_heap/system")
      local fd = file:fd()
      local function try(name, ...)
        local data = answer:ioctl(name, fd, ALLOC, heap(...))
        if data then
          local buf <close> = sys.adopt((string.unpack("<I4", data, 9)))
          answer(name .. ", size", sys.seek, buf:fd(), 0, 2)
          answer(name .. ", F_GETFL", sys.fcntl, buf:fd(), 3)
          answer(name .. ", F_GETFD", sys.fcntl, buf:fd(), 1)
        end
      end
      try("a page", PAGE)
      try("a byte", 1)
      try("a page and a byte", PAGE + 1)
      try("1 MiB", 1 << 20)
      try("nothing", 0)
      try("2^64 - 1", -1)
      try("fd 1", PAGE, { fd = 1 })
      try("fd -1", PAGE, { fd = 0xffffffff })
      try("flags 1", PAGE, { flags = 1 })
      try("flags 2^63", PAGE, { flags = math.mininteger })
      for _, flags in ipairs { 0, 1, 2, 3, 0x80000, 0x80001, 0x800, 0x400, 4 } do
        try(("fd flags 0x%x"):format(flags), PAGE, { fd_flags = flags })
      end
      answer:ioctl("no bytes", fd, ALLOC, "")
      answer:ioctl("16 bytes", fd, ALLOC, heap(PAGE):sub(1, 16))
      local function sized(name, request, bytes)
        local data = answer:ioctl(name, fd, request, bytes)
        local _buf <close> = data and sys.adopt((string.unpack("<I4", data, 9)))
      end
      sized("the structure with 16 bytes", 0xc0104800, heap(PAGE):sub(1, 16))
      sized("the structure with 32 bytes", 0xc0204800, heap(PAGE) .. ("\0"):rep(8))
      sized("of another type", 0xc0184700, heap(PAGE))
      answer:ioctl("the next request", fd, 0xc0184801, heap(PAGE))
      answer:ioctl("without a size", fd, 0x4800, heap(PAGE))
      answer("read", sys.read, fd, 4)
      answer("mmap", sys.mmap, fd, { length = PAGE })
      answer("a heap that is not there", sys.open, "/dev/dma_heap/nothing")
    end },

    { "operations of a heap's dma-buf", function(t)
      local answer = answers.new(t)
      local file <close> = sys.open("/dev/dma_heap/system")
      local data = assert(sys.ioctl(file:fd(), ALLOC, heap(2 * PAGE)).bytes)
      local buf <close> = sys.adopt((string.unpack("<I4", data, 9)))
      operations(answer, buf:fd(), 2 * PAGE)
    end },
  },
}
