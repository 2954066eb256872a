-- VFIO_DEVICE_FEATURE_DMA_BUF: every check of its own, in their order, and what the dma-buf then is.
local vfio, sys, answers = require "vfio", require "sys", require "answers"

local FEATURE, GET, FLAGS = "VFIO_DEVICE_FEATURE", 11 | 1 << 16, 8
local PAGE, MIB = 4096, 1 << 20

--- A request: region, then what differs from a good one: open_flags, flags, count, argsz; ranges as a flat list.
local function request(region, ranges, how)
  how = how or {}
  local data = string.pack("<I4I4I4I4", region, how.open_flags or 0x80002, how.flags or 0, how.count or #ranges // 2)
  data = data .. string.pack("<" .. ("I8"):rep(#ranges), table.unpack(ranges))
  return string.pack("<I4I4", how.argsz or FLAGS + #data, GET) .. data
end

--- Opens the exporter and hands over a function that records one export and closes what came of it.
local function with_exports(t, opt, body)
  local answer = answers.new(t)
  local dev <close> = vfio.open(opt.exporter)
  body(function(name, ...)
    return answer:closed(name, dev:fd(), FEATURE, request(...))
  end, dev, answer)
end

--- Text of a file such as fdinfo.
local function contents(path)
  local file <close> = sys.open(path, 0)
  return sys.read(file:fd(), 4096).bytes
end

--- The lines of fdinfo that do not depend on the run: mount and inode are left out.
local function fdinfo(fd)
  local text = contents("/proc/self/fdinfo/" .. fd)
  return (text:gsub("mnt_id:[^\n]*\n", ""):gsub("ino:[^\n]*\n", ""):gsub("\t", " "):gsub("\n", "; "))
end

return {
  name = "conformance-export",
  about = "VFIO_DEVICE_FEATURE_DMA_BUF: every refusal in its order, and the dma-buf that comes of it",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 (1 MiB) is exported" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "device whose BAR 0 holds registers" },
  },
  cases = {
    { "regions", function(t, opt)
      with_exports(t, opt, function(export)
        for region = 0, 10 do
          export("region " .. region, region, { 0, PAGE })
        end
        export("region 2^31", 1 << 31, { 0, PAGE })
        export("region 2^32-1", 0xffffffff, { 0, PAGE })
        export("an unaligned range of region 7", 7, { 1, 1 })
        export("an unaligned range of an empty BAR", 1, { 1, 1 })
        export("an empty range of a BAR smaller than a page", 0, { 0, 0 })
        export("256 bytes of a BAR of 256 bytes", 0, { 0, 256 })
        export("no range of region 7", 7, {})
        export("flags for region 7", 7, { 0, PAGE }, { flags = 1 })
      end)
    end },

    { "regions of the engine", function(t, opt)
      local answer = answers.new(t)
      local dev <close> = vfio.open(opt.engine)
      for region = 0, 6 do
        answer:closed("region " .. region, dev:fd(), FEATURE, request(region, { 0, PAGE }))
      end
    end },

    { "ranges", function(t, opt)
      with_exports(t, opt, function(export)
        export("a page", 2, { 0, PAGE })
        export("the whole BAR", 2, { 0, MIB })
        export("the last page", 2, { MIB - PAGE, PAGE })
        export("two ranges", 2, { 0, PAGE, 2 * PAGE, PAGE })
        export("neighbours", 2, { 0, PAGE, PAGE, PAGE })
        export("the same twice", 2, { 0, PAGE, 0, PAGE })
        export("overlapping", 2, { 0, 2 * PAGE, PAGE, 2 * PAGE })
        export("falling", 2, { 2 * PAGE, PAGE, 0, PAGE })
        export("the whole BAR twice", 2, { 0, MIB, 0, MIB })
        export("length 0", 2, { 0, 0 })
        export("length 0 at the end", 2, { MIB, 0 })
        export("length 0 second", 2, { 0, PAGE, 0, 0 })
        export("offset 1", 2, { 1, PAGE })
        export("offset 2048", 2, { 2048, PAGE })
        export("length 1", 2, { 0, 1 })
        export("length 2048", 2, { 0, 2048 })
        export("length 4097", 2, { 0, 4097 })
        export("past the end by a page", 2, { 0, MIB + PAGE })
        export("at the end", 2, { MIB, PAGE })
        export("far past the end", 2, { 1 << 40, PAGE })
        export("second past the end", 2, { 0, PAGE, MIB, PAGE })
        export("first past the end, second unaligned", 2, { MIB, PAGE, 1, PAGE })
        export("offset wraps", 2, { -PAGE, PAGE })
        export("offset and length wrap", 2, { -PAGE, 2 * PAGE })
        export("length wraps", 2, { PAGE, -PAGE })
        export("offset 2^63", 2, { math.mininteger, PAGE })
        export("length 2^63", 2, { 0, math.mininteger })
        export("length 2^62", 2, { 0, 1 << 62 })
        export("sum 2^63", 2, { 0, 1 << 62, 0, 1 << 62 })
        export("sum 2^63 less a page", 2, { 0, math.maxinteger - PAGE + 1 })
        export("sum wraps", 2, { 0, math.mininteger, 0, math.mininteger })
        export("past the end, then wrapping", 2, { MIB, PAGE, -PAGE, PAGE })
        export("wrapping, then past the end", 2, { -PAGE, PAGE, MIB, PAGE })
      end)
    end },

    { "counts and argsz", function(t, opt)
      with_exports(t, opt, function(export, dev, answer)
        export("count 0", 2, {}, {})
        export("count 0 with a range", 2, { 0, PAGE }, { count = 0 })
        export("count 1 of two", 2, { 0, PAGE, 1, 1 }, { count = 1 })
        export("count 2, one readable", 2, { 0, PAGE }, { count = 2 })
        export("count 2, one readable, unaligned", 2, { 1, PAGE }, { count = 2 })
        export("count 2^18", 2, { 0, PAGE }, { count = 1 << 18 })
        export("count 2^18 + 1", 2, { 0, PAGE }, { count = (1 << 18) + 1 })
        export("count 2^28", 2, { 0, PAGE }, { count = 1 << 28 })
        export("count 2^32 - 1", 2, { 0, PAGE }, { count = 0xffffffff })
        export("count 2^28 of an empty BAR", 1, { 0, PAGE }, { count = 1 << 28 })
        export("argsz without the ranges", 2, { 0, PAGE }, { argsz = 24 })
        export("argsz 23", 2, { 0, PAGE }, { argsz = 23 })
        export("argsz 8", 2, { 0, PAGE }, { argsz = 8 })
        export("argsz 7", 2, { 0, PAGE }, { argsz = 7 })
        export("argsz 2^32 - 1", 2, { 0, PAGE }, { argsz = 0xffffffff })
        local many = {}
        for i = 1, 512 do
          many[2 * i - 1], many[2 * i] = 0, PAGE
        end
        export("512 ranges", 2, many)
        answer:closed("15 bytes of data", dev:fd(), FEATURE, request(2, {}):sub(1, 23))
        answer:closed("15 bytes of data, argsz 40", dev:fd(), FEATURE, request(2, {}, { argsz = 40 }):sub(1, 23))
        answer:closed("half a range", dev:fd(), FEATURE, request(2, { 0, PAGE }):sub(1, 32))
      end)
    end },

    { "flags", function(t, opt)
      with_exports(t, opt, function(export)
        export("flags 1", 2, { 0, PAGE }, { flags = 1 })
        export("flags 2^31", 2, { 0, PAGE }, { flags = 1 << 31 })
        export("flags 1 and no range", 2, {}, { flags = 1 })
        export("flags 1, ranges unreadable", 2, { 0, PAGE }, { flags = 1, count = 2 })
      end)
    end },

    { "open flags", function(t, opt)
      local answer = answers.new(t)
      local dev <close> = vfio.open(opt.exporter)
      for _, flags in ipairs { 0, 1, 2, 3, 0x800, 0x802, 0x80000, 0x80002, 0x400, 0x200002, 0x4000, 0xffffffff } do
        local name = ("open flags 0x%x"):format(flags)
        local file <close> = answer:descriptor(name, dev:fd(), FEATURE, request(2, { 0, PAGE }, { open_flags = flags }))
        if file then
          answer(name .. ", F_GETFL", sys.fcntl, file:fd(), 3)
          answer(name .. ", F_GETFD", sys.fcntl, file:fd(), 1)
          answer(name .. ", read", sys.read, file:fd(), 8)
          answer(name .. ", write", sys.write, file:fd(), "x")
          answer(name .. ", mmap to read", sys.mmap, file:fd(), { length = PAGE, prot = 1 })
          answer(name .. ", mmap to write", sys.mmap, file:fd(), { length = PAGE, prot = 2 })
        end
      end
    end },

    { "what it is", function(t, opt)
      local answer = answers.new(t)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE }, { offset = 0, length = MIB } } }
      answer:value("fdinfo", fdinfo(buf:fd()))
      answer:value("link", sys.readlink("/proc/self/fd/" .. buf:fd()))
      buf:set_name("a name")
      answer:value("fdinfo, named", fdinfo(buf:fd()))
      answer:value("link, named", sys.readlink("/proc/self/fd/" .. buf:fd()))
      local second <close> = sys.adopt(sys.fcntl(buf:fd(), 0).result)
      answer:value("fdinfo, with a duplicate", fdinfo(buf:fd()))
      answer:value("fdinfo of the duplicate", fdinfo(second:fd()))
      answer:value("fdinfo of the device", (fdinfo(dev:fd()):gsub("/sys/devices/.*/", "/sys/devices/.../")))
      answer:value("link of the device", (sys.readlink("/proc/self/fd/" .. dev:fd()):gsub("vfio%d+", "vfioN")))
      dev:close()
      answer:value("fdinfo, device closed", fdinfo(buf:fd()))
      answer("size, device closed", sys.seek, buf:fd(), 0, 2)
    end },

    { "inodes differ", function(t, opt)
      local answer = answers.new(t)
      local dev <close> = vfio.open(opt.exporter)
      local one <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
      local two <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
      answer:value("the same inode", one:info().inode == two:info().inode)
    end },
  },
}
