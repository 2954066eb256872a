-- What takes a dma-buf's memory away and what gives it back (3.6), seen from an importer: a new IOMMU_IOAS_MAP_FILE, the
-- mapping that was there before, and the descriptor itself.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"
local pattern, edu = require "pattern", require "engines.edu"

local PAGE, OLD, NEW, HOST = 4096, 0x100000, 0x180000, 0x200000
local FEATURE = "VFIO_DEVICE_FEATURE"

--- What a case works with: `map(name)` records whether the dma-buf can be mapped now, `old(name)` whether the engine
--- still moves bytes through the mapping made at the start.
local function with_importer(body)
  return function(t, opt)
    t:expect_kernel_log("^DMAR", true) -- where the engine reads through a mapping that is gone
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "64K" } } }
    local context <close> = iommufd.open()
    local device <close> = vfio.open(opt.engine, { iommufd = context })
    local ioas <close> = context:alloc_ioas()
    device:attach(ioas)
    local host <close> = memory.alloc(PAGE)
    ioas:map { memory = host, iova = HOST }
    ioas:map_file { dmabuf = buf, length = "64K", iova = OLD }
    local engine = edu.start(device)
    local sent = pattern.bytes(64, 7)
    host:write(0, sent)
    engine:copy(HOST, OLD, 64)
    local with = { dev = dev, buf = buf, ioas = ioas, answer = answer }

    function with.map(name, other)
      if answer(name .. ", a new mapping", ioas.map_file, ioas, { dmabuf = other or buf, length = PAGE, iova = NEW }) then
        ioas:unmap(NEW, PAGE)
      end
    end

    function with.old(name)
      host:fill(0, 64, 0)
      engine:copy(OLD, HOST, 64)
      answer:value(name .. ", the old mapping moves bytes", host:read(0, 64) == sent)
    end

    function with.held(name)
      engine:read(OLD, 64)
      engine:write(HOST, 64)
      answer:value(name .. ", the engine holds", host:read(0, 8))
    end

    function with.both(name)
      with.map(name)
      with.old(name)
    end

    body(with)
    answer("the old mapping is unmapped", ioas.unmap, ioas, OLD, "64K")
    device:detach()
  end
end

local function feature(with, name, number)
  with.answer:ioctl(name, with.dev:fd(), FEATURE, string.pack("<I4I4", 8, number | 1 << 17))
end

--- Events that are one write to configuration space: a name, offset, width, value.
local writes = {
  { "command without memory", 4, 2, 0x0000 },
  { "command without memory, one byte", 4, 1, 0x00 },
  { "command without memory, four bytes", 4, 4, 0x0000 },
  { "command without memory, with master", 4, 2, 0x0004 },
  { "the upper byte of command", 5, 1, 0x00 },
  { "command with memory", 4, 2, 0x0002 },
  { "command with all", 4, 2, 0xffff },
  { "status", 6, 2, 0xffff },
  { "a BAR", 0x18, 4, 0xffffffff },
  { "the interrupt line", 0x3c, 1, 0 },
  { "where no capability is", 0x44, 2, 3 },
}

local cases = {
  { "nothing happens", with_importer(function(with)
    with.both("at first")
  end) },

  { "reset", with_importer(function(with)
    with.answer("reset", with.dev.reset, with.dev)
    with.held("after it")
    with.both("after it")
  end) },

  { "memory decode off, and on", with_importer(function(with)
    with.dev:store(7, 4, 2, 0)
    with.both("off")
    with.answer("size", sys.seek, with.buf:fd(), 0, 2)
    with.dev:store(7, 4, 2, 2)
    with.both("on")
  end) },

  { "memory decode off, reset", with_importer(function(with)
    with.dev:store(7, 4, 2, 0)
    with.answer("reset", with.dev.reset, with.dev)
    with.map("after it")
    with.dev:store(7, 4, 2, 2)
    with.map("on")
  end) },

  { "memory decode off, export", with_importer(function(with)
    with.dev:store(7, 4, 2, 0)
    local born <close> = with.answer("an export", with.dev.export_dmabuf, with.dev,
      { region_index = 2, ranges = { { offset = 0, length = PAGE } } })
    with.map("born revoked", born)
    with.answer("its size", sys.seek, born:fd(), 0, 2)
    with.answer("its name", born.set_name, born, "born")
    with.answer:closed("an export of a bad range", with.dev:fd(), FEATURE,
      string.pack("<I4I4I4I4I4I4I8I8", 40, 0x1000b, 2, 2, 0, 1, 1, PAGE))
    with.dev:store(7, 4, 2, 2)
    with.map("on", born)
    with.dev:store(7, 4, 2, 2)
    with.map("on again", born)
  end) },

  { "low power", with_importer(function(with)
    feature(with, "entry", 3)
    with.both("asleep")
    local born <close> = with.answer("an export", with.dev.export_dmabuf, with.dev,
      { region_index = 2, ranges = { { offset = 0, length = PAGE } } })
    with.map("exported asleep", born)
    feature(with, "entry again", 3)
    with.map("exported asleep, after a refused entry", born)
    feature(with, "exit", 5)
    with.both("awake")
    with.map("exported asleep, awake", born)
  end) },

  { "a refused entry", with_importer(function(with)
    feature(with, "entry", 3)
    feature(with, "exit", 5)
    with.map("awake")
    feature(with, "entry", 3)
    feature(with, "entry again", 3)
    with.map("asleep")
    with.dev:store(7, 4, 2, 2)
    with.map("asleep, memory decode written")
    feature(with, "exit", 5)
    with.map("awake again")
  end) },

  { "exit without entry", with_importer(function(with)
    feature(with, "exit", 5)
    with.both("after it")
    with.dev:store(7, 4, 2, 0)
    feature(with, "exit, memory decode off", 5)
    with.map("memory decode off")
    with.dev:store(7, 4, 2, 2)
  end) },

  { "low power with wake-up", with_importer(function(with)
    local event <close> = sys.eventfd()
    local entry = string.pack("<I4I4i4I4", 16, 4 | 1 << 17, event:fd(), 0)
    with.answer:ioctl("entry", with.dev:fd(), FEATURE, entry)
    with.map("asleep")
    with.answer("an access", with.dev.load, with.dev, 7, 0, 4)
    with.map("woken")
    feature(with, "exit", 5)
    with.map("after exit")
    with.answer:ioctl("entry with a bad eventfd", with.dev:fd(), FEATURE,
      string.pack("<I4I4i4I4", 16, 4 | 1 << 17, 999, 0))
    with.map("after a bad eventfd")
  end) },

  { "reset asleep", with_importer(function(with)
    feature(with, "entry", 3)
    with.answer("reset", with.dev.reset, with.dev)
    with.map("after it")
    feature(with, "exit", 5)
    with.map("awake")
  end) },

  { "close", with_importer(function(with)
    with.dev:close()
    with.both("closed")
    with.answer("size", sys.seek, with.buf:fd(), 0, 2)
    with.answer("name", with.buf.set_name, with.buf, "orphan")
    with.answer:ioctl("sync", with.buf:fd(), 0x40086200, string.pack("<I8", 1))
    with.answer("poll", sys.poll, with.buf:fd(), 5)
    with.answer("count", function() return with.buf:info().count end)
  end) },

  { "close and open again", function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
    dev:close()
    local again <close> = vfio.open(opt.exporter)
    local context <close> = iommufd.open()
    local ioas <close> = context:alloc_ioas()
    answer("the old dma-buf", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = NEW })
    local other <close> = again:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
    answer("a new one", ioas.map_file, ioas, { dmabuf = other, length = PAGE, iova = NEW })
  end },

  { "two ranges, revoked", function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local ranges = { { offset = 0, length = PAGE }, { offset = 0, length = PAGE } }
    local buf <close> = dev:export_dmabuf { region_index = 2, ranges = ranges }
    local context <close> = iommufd.open()
    local ioas <close> = context:alloc_ioas()
    answer("memory on", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = NEW })
    dev:store(7, 4, 2, 0)
    answer("memory off", ioas.map_file, ioas, { dmabuf = buf, length = PAGE, iova = NEW })
    answer("memory off, past the end", ioas.map_file, ioas, { dmabuf = buf, length = 4 * PAGE, iova = NEW })
    dev:store(7, 4, 2, 2)
  end },

  { "importers and the count", function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4 * PAGE } } }
    local context <close> = iommufd.open()
    local ioas <close> = context:alloc_ioas()
    local function count(name)
      answer:value(name, buf:info().count)
    end
    count("nobody")
    ioas:map_file { dmabuf = buf, length = PAGE, iova = 0x10000 }
    count("one mapping")
    ioas:map_file { dmabuf = buf, length = PAGE, iova = 0x20000 }
    count("two mappings")
    ioas:copy { src_ioas = ioas, src_iova = 0x10000, length = PAGE, iova = 0x30000 }
    count("and a copy")
    dev:reset()
    count("after a reset")
    ioas:unmap(0x10000, PAGE)
    count("the first unmapped")
    ioas:unmap(0x30000, PAGE)
    count("its copy too")
    ioas:unmap(0x20000, PAGE)
    count("all unmapped")
  end },

  { "copies of a dead mapping", with_importer(function(with)
    with.dev:reset()
    with.answer("a copy", with.ioas.copy, with.ioas, { src_ioas = with.ioas, src_iova = OLD, length = PAGE, iova = NEW })
    with.answer("its place is taken", with.ioas.map_file, with.ioas, { dmabuf = with.buf, length = PAGE, iova = NEW })
    with.answer("unmapping it", with.ioas.unmap, with.ioas, NEW, PAGE)
  end) },
}

for _, write in ipairs(writes) do
  local name, offset, width, value = table.unpack(write)
  cases[#cases + 1] = { "write of " .. name, with_importer(function(with)
    local before, old = with.dev:load(7, 4, 2), with.dev:load(7, offset, width)
    with.dev:store(7, offset, width, value)
    with.answer:value("memory decode", with.dev:load(7, 4, 2) & 2)
    with.both("after it")
    with.dev:store(7, offset, width, old)
    with.dev:store(7, 4, 2, before)
    with.both("command as before")
  end) }
end

return {
  name = "conformance-revoke",
  about = "what takes a dma-buf's memory away and gives it back, seen from an importer",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
    engine = { type = "pci", default = "auto", id = edu.id, about = "device that does the DMA" },
  },
  needs = { "vfio.dma_buf", "iommufd" },
  cases = cases,
}
