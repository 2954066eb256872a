-- What any dma-buf answers (drivers/dma-buf/dma-buf.c), asked of one that a VFIO device exported.
local vfio, sys, answers = require "vfio", require "sys", require "answers"

local PAGE = 4096
local SYNC, NAME, NAME_A, EXPORT, IMPORT = 0x40086200, 0x40086201, 0x40046201, 0xc0086202, 0x40086203

--- Hands over a recorder and the descriptor of a dma-buf of two pages.
local function with_buffer(body)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    local ranges = { { offset = 0, length = PAGE }, { offset = 0x4000, length = PAGE } }
    local buf <close> = dev:export_dmabuf { region_index = 2, ranges = ranges }
    body(answers.new(t), buf:fd(), buf, dev)
  end
end

local function u64(value)
  return string.pack("<I8", value)
end

local function sync_file(flags, fd)
  return string.pack("<I4i4", flags, fd or -1)
end

return {
  name = "conformance-dmabuf",
  about = "generic operations of a dma-buf descriptor: lseek, sync, name, sync files, poll, mmap, read, write",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
  },
  cases = {
    { "lseek", with_buffer(function(answer, fd)
      answer("SEEK_END 0", sys.seek, fd, 0, 2)
      answer("SEEK_SET 0", sys.seek, fd, 0, 0)
      answer("SEEK_CUR 0", sys.seek, fd, 0, 1)
      answer("SEEK_SET 1", sys.seek, fd, 1, 0)
      answer("SEEK_END -1", sys.seek, fd, -1, 2)
      answer("SEEK_END 1", sys.seek, fd, 1, 2)
      answer("SEEK_DATA 0", sys.seek, fd, 0, 3)
      answer("SEEK_HOLE 0", sys.seek, fd, 0, 4)
      answer("whence 5", sys.seek, fd, 0, 5)
      answer("whence 99", sys.seek, fd, 0, 99)
    end) },

    { "sync", with_buffer(function(answer, fd)
      for flags = 0, 9 do
        answer:ioctl("flags " .. flags, fd, SYNC, u64(flags))
      end
      answer:ioctl("flags 2^32", fd, SYNC, u64(1 << 32 | 1))
      answer:ioctl("flags 2^63", fd, SYNC, u64(1 << 63 | 1))
      answer:ioctl("end before start", fd, SYNC, u64(7))
      answer:ioctl("7 bytes", fd, SYNC, ("\1"):rep(7))
      answer:ioctl("no bytes", fd, SYNC, "")
      answer("NULL", sys.ioctl, fd, SYNC, 0)
    end) },

    { "name", with_buffer(function(answer, fd, buf)
      local function name(what, text, request)
        answer:ioctl(what, fd, request or NAME, text)
        answer:value(what .. ", name now", buf:info().name or "none")
      end
      name("a", "a\0")
      name("31 bytes", ("n"):rep(31) .. "\0")
      name("32 bytes", ("m"):rep(32) .. "\0")
      name("33 bytes", ("m"):rep(33) .. "\0")
      name("31 bytes without NUL", ("o"):rep(31))
      name("32 bytes without NUL", ("p"):rep(32))
      name("empty", "\0")
      name("by the older number", "older\0", NAME_A)
      name("no bytes", "")
      name("a slash and blanks", "a / b\0")
      answer("NULL", sys.ioctl, fd, NAME, 0)
      answer("link", sys.readlink, "/proc/self/fd/" .. fd)
    end) },

    { "sync files", with_buffer(function(answer, fd)
      for flags = 0, 5 do
        local data = answer:ioctl("export, flags " .. flags, fd, EXPORT, sync_file(flags))
        if data then
          local file <close> = sys.adopt((string.unpack("<i4", data, 5)))
          answer("F_GETFD of it", sys.fcntl, file:fd(), 1)
          answer("poll of it", sys.poll, file:fd(), 5)
          answer:ioctl("import it, flags 0", fd, IMPORT, sync_file(0, file:fd()))
          answer:ioctl("import it, flags 1", fd, IMPORT, sync_file(1, file:fd()))
          answer:ioctl("import it, flags 2", fd, IMPORT, sync_file(2, file:fd()))
          answer:ioctl("import it, flags 3", fd, IMPORT, sync_file(3, file:fd()))
          answer:ioctl("import it, flags 4", fd, IMPORT, sync_file(4, file:fd()))
        end
      end
      answer:ioctl("export, 7 bytes", fd, EXPORT, ("\1"):rep(7))
      answer:ioctl("export, no bytes", fd, EXPORT, "")
      answer:ioctl("import of nothing", fd, IMPORT, sync_file(1, -1))
      answer:ioctl("import of a closed descriptor", fd, IMPORT, sync_file(1, 999))
      answer:ioctl("import of the dma-buf", fd, IMPORT, sync_file(1, fd))
      answer:ioctl("import, flags 4 before the descriptor", fd, IMPORT, sync_file(4, 999))
      answer:ioctl("import, no bytes", fd, IMPORT, "")
      answer("poll after imports", sys.poll, fd, 5)
    end) },

    { "poll", with_buffer(function(answer, fd)
      for _, events in ipairs { 0, 1, 4, 5, 2, 0x40, 0x100, 0x145, 8, 16, 0x2000 } do
        answer(("events 0x%x"):format(events), sys.poll, fd, events)
      end
    end) },

    { "poll while revoked", with_buffer(function(answer, fd, _, dev)
      dev:store(7, 4, 2, 0)
      answer("events 5", sys.poll, fd, 5)
      answer:ioctl("sync", fd, SYNC, u64(1))
      answer("size", sys.seek, fd, 0, 2)
    end) },

    { "mmap", with_buffer(function(answer, fd)
      answer("shared", sys.mmap, fd, { length = PAGE })
      answer("private", sys.mmap, fd, { length = PAGE, flags = 2 })
      answer("to read", sys.mmap, fd, { length = PAGE, prot = 1 })
      answer("no access", sys.mmap, fd, { length = PAGE, prot = 0 })
      answer("whole", sys.mmap, fd, { length = 2 * PAGE })
      answer("past the end", sys.mmap, fd, { length = 3 * PAGE })
      answer("length 0", sys.mmap, fd, { length = 0 })
      answer("offset 1", sys.mmap, fd, { length = PAGE, offset = 1 })
      answer("offset past the end", sys.mmap, fd, { length = PAGE, offset = 1 << 30 })
      answer("neither shared nor private", sys.mmap, fd, { length = PAGE, flags = 0 })
      answer("shared, validated", sys.mmap, fd, { length = PAGE, flags = 3 })
    end) },

    { "read and write", with_buffer(function(answer, fd)
      answer("read", sys.read, fd, 8)
      answer("read nothing", sys.read, fd, 0)
      answer("pread", sys.read, fd, 8, 0)
      answer("pread at -1", sys.read, fd, 8, -1)
      answer("write", sys.write, fd, "12345678")
      answer("write nothing", sys.write, fd, "")
      answer("pwrite", sys.write, fd, "12345678", 0)
      answer("pwrite at -1", sys.write, fd, "1", -1)
    end) },

    { "other requests", with_buffer(function(answer, fd)
      answer:ioctl("number 4", fd, 0x40086204, u64(1))
      answer:ioctl("number 255", fd, 0x400862ff, u64(1))
      answer:ioctl("sync without size", fd, 0x6200, u64(1))
      answer:ioctl("sync as a read", fd, 0x80086200, u64(1))
      answer:ioctl("sync with 16 bytes", fd, 0x40106200, u64(1) .. u64(0))
      answer:ioctl("of VFIO", fd, "VFIO_DEVICE_GET_INFO", ("\0"):rep(24))
      answer:ioctl("of iommufd", fd, "IOMMU_IOAS_ALLOC", ("\0"):rep(12))
      answer:ioctl("FIONREAD", fd, 0x541b, ("\0"):rep(4))
      answer:ioctl("0", fd, 0, "")
    end) },

    { "fcntl", with_buffer(function(answer, fd)
      answer("F_GETFL", sys.fcntl, fd, 3)
      answer("F_GETFD", sys.fcntl, fd, 1)
      answer("F_SETFD 0", sys.fcntl, fd, 2, 0)
      answer("F_GETFD then", sys.fcntl, fd, 1)
      answer("F_GET_SEALS", sys.fcntl, fd, 1034)
      answer("F_ADD_SEALS", sys.fcntl, fd, 1033, 2)
    end) },

    { "what is no dma-buf", function(t)
      local answer = answers.new(t)
      answer("lseek of nothing", sys.seek, 999, 0, 0)
      answer("poll of nothing", sys.poll, 999, 1)
      answer("poll of -1", sys.poll, -1, 1)
      answer("fcntl of nothing", sys.fcntl, 999, 3)
      answer("mmap of nothing", sys.mmap, 999, { length = PAGE })
      answer("read of nothing", sys.read, 999, 1)
      answer:ioctl("sync of nothing", 999, SYNC, u64(1))
      local event <close> = sys.eventfd(3)
      answer:ioctl("sync of an eventfd", event:fd(), SYNC, u64(1))
      answer("mmap of an eventfd", sys.mmap, event:fd(), { length = PAGE })
      answer("lseek of an eventfd", sys.seek, event:fd(), 0, 0)
      answer("read of an eventfd", sys.read, event:fd(), 8)
      answer("poll of an eventfd", sys.poll, event:fd(), 5)
    end },
  },
}
