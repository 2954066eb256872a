-- Power states and function-level reset of a PCI Express function, seen from an importer of one of its BARs.
local vfio, iommufd, memory, sys, answers =
  require "vfio", require "iommufd", require "memory", require "sys", require "answers"
local edu, asleep = require "engines.edu", require "asleep"

local PAGE, OLD, NEW, HOST = 4096, 0x100000, 0x180000, 0x200000
local CONFIG = 7 << 40
local FEATURE = "VFIO_DEVICE_FEATURE"
local RESET = 0x8000 -- the function-level reset bit
-- Where functions have what the cases look at: the capability of power management and its state, device control, what no
-- capability has; the BAR whose memory is exported, and that with the MSI-X table.
local layouts = {
  ["1af4:1044"] = { power = 0x7c, state = 0x80, control = 0x48, unused = 0xe8, memory = 4, vectors = 1 },
  ["1af4:1110"] = { power = 0x40, state = 0x44, control = 0x50, unused = 0xe8, memory = 2, vectors = 0 },
}
-- The function's own.
local at

local cases = {}

local function export(dev, region)
  return dev:export_dmabuf { region_index = region, ranges = { { offset = 0, length = PAGE } } }
end

local function state(dev)
  return dev:load(7, at.state, 2) & 3
end

--- What a case works with: `map(name)` records whether the dma-buf can be mapped now, `old(name)` whether the engine
--- still reads the registers through the mapping made at the start.
local function importer(name, body)
  cases[#cases + 1] = { name, function(t, opt)
    t:expect_kernel_log("^DMAR", true) -- where the engine reads through a mapping that is gone
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.express)
    at = layouts[("%04x:%04x"):format(dev:load(7, 0, 2), dev:load(7, 2, 2))]
    local buf <close> = export(dev, at.memory)
    local context <close> = iommufd.open()
    local device <close> = vfio.open(opt.engine, { iommufd = context })
    local ioas <close> = context:alloc_ioas()
    device:attach(ioas)
    local host <close> = memory.alloc(PAGE)
    ioas:map { memory = host, iova = HOST }
    ioas:map_file { dmabuf = buf, length = PAGE, iova = OLD }
    local engine = edu.start(device)
    local with = { dev = dev, fd = dev:fd(), answer = answer, opt = opt }

    function with.map(what, other)
      if answer(what .. ", a new mapping", ioas.map_file, ioas, { dmabuf = other or buf, length = PAGE, iova = NEW }) then
        ioas:unmap(NEW, PAGE)
      end
    end

    function with.old(what)
      host:fill(0, 8, 0)
      engine:read(OLD + 0x10, 4)
      engine:write(HOST, 4)
      answer:value(what .. ", through the old mapping", host:read(0, 4))
    end

    function with.store(what, offset, width, value)
      answer(what, dev.write, dev, 7, offset, string.pack("<I" .. width, value))
      answer:value(what .. ", power state", state(dev))
    end

    function with.feature(what, number)
      answer:ioctl(what, dev:fd(), FEATURE, string.pack("<I4I4", 8, number | 1 << 17))
    end

    body(with)
    answer("the old mapping is unmapped", ioas.unmap, ioas, OLD, PAGE)
    device:detach()
  end }
end

importer("nothing happens", function(with)
  with.answer:value("power state", state(with.dev))
  with.map("at first")
  with.old("at first")
end)

importer("D3hot and D0", function(with)
  local map <close> = with.dev:mmap(at.memory, { length = PAGE })
  local answer = with.answer
  answer("through a mapping", map.read, map, 0x10, 2)
  with.store("D3hot", at.state, 2, 3)
  with.map("in D3hot")
  with.old("in D3hot")
  answer("read", sys.read, with.fd, 2, (at.memory << 40) + 0x10)
  answer("write", sys.write, with.fd, "\0", (at.memory << 40) + 0x3000)
  answer("the MSI-X table", sys.read, with.fd, 8, (at.vectors << 40))
  answer("behind the MSI-X table", sys.read, with.fd, 8, (at.vectors << 40) + 0x800)
  answer("through a mapping", map.read, map, 0x10, 2)
  answer("mmap", function()
    local other <close> = with.dev:mmap(at.memory, { length = PAGE })
    answer("through a new mapping", other.read, other, 0x10, 2)
  end)
  answer("configuration", sys.read, with.fd, 4, CONFIG)
  answer("command", with.dev.load, with.dev, 7, 4, 2)
  answer:ioctl("device info", with.fd, "VFIO_DEVICE_GET_INFO", string.pack("<I4I4I4I4", 16, 0, 0, 0), "<I4I4I4I4")
  with.store("D0", at.state, 2, 0)
  with.map("in D0 again")
  with.old("in D0 again")
  answer("read", sys.read, with.fd, 2, (at.memory << 40) + 0x10)
  answer("through a mapping", map.read, map, 0x10, 2)
end)

importer("export in D3hot", function(with)
  with.store("D3hot", at.state, 2, 3)
  local born <close> = with.answer("export", export, with.dev, at.memory)
  local last <close> = with.answer("export of the MSI-X table's BAR", export, with.dev, at.vectors)
  with.map("born revoked", born)
  with.map("the MSI-X table's BAR", last)
  with.answer("size", sys.seek, born:fd(), 0, 2)
  with.store("D0", at.state, 2, 0)
  with.map("in D0", born)
  with.map("the MSI-X table's BAR, in D0", last)
end)

importer("power states that are not there", function(with)
  with.store("D1", at.state, 2, 1)
  with.map("after D1")
  with.store("D2", at.state, 2, 2)
  with.map("after D2")
  with.old("after D2")
  with.store("D3hot", at.state, 2, 3)
  with.store("D3hot again", at.state, 2, 3)
  with.store("D1 from D3hot", at.state, 2, 1)
  with.map("D1 from D3hot")
  with.store("D2 from D3hot", at.state, 2, 2)
  with.map("D2 from D3hot")
  with.store("D0", at.state, 2, 0)
  with.map("D0")
  with.store("D0 again", at.state, 2, 0)
  with.map("D0 again")
end)

importer("power state by other widths", function(with)
  with.store("one byte", at.state, 1, 3)
  with.map("one byte")
  with.store("one byte, D0", at.state, 1, 0)
  with.map("one byte, D0")
  with.store("four bytes", at.state, 4, 0x10003)
  with.map("four bytes")
  with.store("the second byte", at.state + 1, 1, 0)
  with.map("the second byte")
  with.store("the register before it", at.power, 4, 0)
  with.store("eight bytes, D0", at.power, 8, 0)
  with.map("eight bytes, D0")
  with.store("from the byte before", at.state - 1, 2, 0x0300)
  with.map("from the byte before")
  with.store("D0", at.state, 2, 0)
end)

importer("D3hot and memory decode", function(with)
  local dev, answer = with.dev, with.answer
  with.store("memory off", 4, 2, 0)
  with.store("D3hot", at.state, 2, 3)
  with.store("D0", at.state, 2, 0)
  with.map("D0, memory off")
  with.store("memory on", 4, 2, 2)
  with.map("memory on")
  with.store("D3hot", at.state, 2, 3)
  with.store("memory on, in D3hot", 4, 2, 2)
  with.map("memory on, in D3hot")
  dev:store(7, 0x0c, 1, 0x20)
  dev:store(7, at.control, 2, 7)
  dev:store(7, at.unused, 4, 0x55)
  with.store("memory off, in D3hot", 4, 2, 0)
  answer("command", dev.load, dev, 7, 4, 2)
  with.store("D0", at.state, 2, 0)
  with.map("D0, memory turned off in D3hot")
  answer("command", dev.load, dev, 7, 4, 2)
  answer("read", sys.read, with.fd, 2, (at.memory << 40) + 0x10)
  answer("cache line", dev.load, dev, 7, 0x0c, 1)
  answer("device control", dev.load, dev, 7, at.control, 2)
  answer("what no capability has", dev.load, dev, 7, at.unused, 4)
  with.store("memory on", 4, 2, 2)
  with.map("memory on")
  dev:store(7, 0x0c, 1, 0)
  dev:store(7, at.control, 2, 0)
  dev:store(7, at.unused, 4, 0)
end)

importer("resets in D3hot", function(with)
  with.store("D3hot", at.state, 2, 3)
  with.answer("reset", with.dev.reset, with.dev)
  with.answer:value("power state", state(with.dev))
  with.map("after a reset")
  with.store("D3hot", at.state, 2, 3)
  with.store("function-level reset", at.control, 2, RESET)
  with.map("after a function-level reset")
  with.old("after a function-level reset")
end)

importer("close in D3hot", function(with)
  with.store("D3hot", at.state, 2, 3)
  with.dev:close()
  with.map("closed")
  local again <close> = vfio.open(with.opt.express)
  with.answer:value("power state", state(again))
  with.answer("read", sys.read, again:fd(), 2, (at.memory << 40) + 0x10)
  with.map("open again")
end)

importer("function-level reset", function(with)
  with.store("the low byte alone", at.control, 1, 0xff)
  with.old("the low byte alone")
  with.store("without the bit", at.control, 2, 0x7000)
  with.old("without the bit")
  with.store("the bit", at.control, 2, RESET)
  with.map("the bit")
  with.old("the bit")
  with.answer("device control", with.dev.load, with.dev, 7, at.control, 2)
  with.answer("command", with.dev.load, with.dev, 7, 4, 2)
  with.answer("read", sys.read, with.fd, 2, (at.memory << 40) + 0x10)
end)

importer("function-level reset by the high byte", function(with)
  with.store("the high byte", at.control + 1, 1, 0x80)
  with.map("the high byte")
  with.old("the high byte")
end)

importer("function-level reset by four bytes", function(with)
  local map <close> = with.dev:mmap(at.memory, { length = PAGE })
  with.store("four bytes", at.control, 4, 0xffff8000)
  with.map("four bytes")
  with.old("four bytes")
  with.answer("through a mapping", map.read, map, 0x10, 2)
end)

importer("function-level reset, memory off", function(with)
  with.store("memory off", 4, 2, 0)
  with.store("the bit", at.control, 2, RESET)
  with.map("the bit")
  with.answer("command", with.dev.load, with.dev, 7, 4, 2)
  with.store("memory on", 4, 2, 2)
  with.map("memory on")
end)

importer("low power", function(with)
  local map <close> = with.dev:mmap(at.memory, { length = PAGE })
  with.feature("entry", 3)
  with.map("asleep")
  with.old("asleep")
  with.answer("through a mapping", map.read, map, 0x10, 2)
  with.answer("read", sys.read, with.fd, 2, (at.memory << 40) + 0x10)
  with.answer:value("power state", state(with.dev))
  with.answer("command", with.dev.load, with.dev, 7, 4, 2)
  with.feature("entry again", 3)
  with.feature("exit", 5)
  with.map("awake")
  with.answer("through a mapping", map.read, map, 0x10, 2)
  with.answer("command", with.dev.load, with.dev, 7, 4, 2)
end)

importer("low power with wake-up", function(with)
  local event <close> = sys.eventfd()
  with.answer:ioctl("entry", with.fd, FEATURE, string.pack("<I4I4i4I4", 16, 4 | 1 << 17, event:fd(), 0))
  asleep.wait(with.opt.express)
  with.map("asleep")
  with.answer:value("power state", state(with.dev))
  with.answer("the event", sys.poll, event:fd(), 1)
  with.map("woken")
  with.feature("exit", 5)
  with.map("after exit")
end)

return {
  name = "conformance-power",
  about = "power states and function-level reset of a PCI Express function",
  options = {
    express = { type = "pci", default = "auto", id = "1af4:1044", about = "QEMU's virtio-rng, or peerlab's exporter" },
    engine = { type = "pci", default = "auto", id = edu.id, about = "device that does the DMA" },
  },
  needs = { "vfio.dma_buf", "iommufd" },
  cases = cases,
}
