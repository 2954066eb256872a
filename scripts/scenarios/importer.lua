-- A driver in the kernel imports a VFIO dma-buf: what attaching and mapping answer, DMA within the exporter's BAR, and
-- what becomes of a mapping when the exporter revokes it. For the lab bench with --lab-importer, and sim:lab-importer.
local sys, expect, fixture, pci = require "sys", require "expect", require "fixture", require "pci"
local pattern, importer = require "pattern", require "engines.edu_importer"

local PAGE = 4096
local HEAP_ALLOC = 0xc0184800 -- DMA_HEAP_IOCTL_ALLOC

--- A case: `body(t, dev, export, opt)`. `export(...)` makes a dma-buf of these pages of the BAR: { first, count }.
local function case(body)
  return function(t, opt)
    local exporter <close> = fixture.vfio(opt)
    body(t, exporter.dev, function(...)
      return exporter:export(...)
    end, opt)
  end
end

--- How the importer's device reaches the BAR: "translated" by an IOMMU, "straight" through a switch, or nil, not at
--- all.
local function find_route(dev, region)
  local buf <close> = dev:export_dmabuf { region_index = region, ranges = { { offset = 0, length = PAGE } } }
  local attached <close> = importer.attach(buf)
  local ok, pieces = pcall(attached.map, attached) ---@type boolean, any
  if ok then
    return pieces[1].address == importer.bus_address(dev, region) and "straight" or "translated"
  elseif pieces.name ~= "EINVAL" then
    error(pieces, 0)
  end
end

--- A case that maps: `body(t, dev, export, opt, route)`.
local function mapping(body)
  return case(function(t, dev, export, opt)
    local route = find_route(dev, opt.region)
    if not route then
      t:skip("the kernel knows no peer-to-peer route between the two devices")
    end
    body(t, dev, export, opt, route)
  end)
end

--- What a copy is called when its bytes are wrong.
local function copy_by(route)
  return route == "straight" and "copy through a switch (QEMU's pass none on)" or "copy"
end

--- A case in which attaching `with` these abilities is refused.
local function refused(with)
  return case(function(_, _, export)
    local buf <close> = export { 0, 1 }
    expect.errno("EOPNOTSUPP", importer.attach, buf, with)
  end)
end

local function expect_state(attached, invalidations, mapped, what)
  expect.equal(attached:invalidations(), invalidations, what .. ": invalidations")
  expect.equal(attached:is_mapped(), mapped, what .. ": mapped")
end

return {
  name = "importer",
  about = "a kernel driver maps a VFIO BAR through its dma-buf, does DMA to it, and loses it",
  tags = { "export", "importer", "p2p" },
  options = fixture.exporter_options {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR is exported" },
    length = { type = "size", default = 10000, min = 1, max = "64K", about = "bytes to copy" },
  },
  needs = { "vfio.dma_buf", "importer" },
  effects = { "open", "region_write", "config_write", "reset", "raw" },
  cases = {
    { "attach without peer-to-peer", refused { peer2peer = false } },
    { "attach without an invalidate callback", refused { invalidate = false } },
    { "attach with neither", refused { peer2peer = false, invalidate = false } },
    { "attach to what is no dma-buf", case(function(_, dev)
      expect.errno("EINVAL", importer.attach, dev)
    end) },
    { "attach to a closed descriptor", case(function()
      local closed = { fd = function() return -1 end }
      expect.errno("EBADF", importer.attach, closed)
    end) },
    { "attach and map while memory is off", mapping(function(_, dev, export)
      local buf <close> = export { 0, 1 }
      local attached <close> = importer.attach(buf)
      pci.set_memory(dev, false)
      local late = select(2, pcall(importer.attach, buf))
      local mapped = select(2, pcall(attached.map, attached))
      pci.set_memory(dev, true)
      expect.equal(late.name, "ENODEV", "attach")
      expect.equal(mapped.name, "ENODEV", "map")
      attached:map()
    end) },

    { "one range is one piece", mapping(function(t, _, export)
      local buf <close> = export { 4, 16 }
      local attached <close> = importer.attach(buf)
      local pieces, count = attached:map()
      t:log(("the device sees %d bytes at 0x%x"):format(pieces[1].length, pieces[1].address))
      expect.equal(count, 1, "pieces")
      expect.equal(pieces[1].length, 16 * PAGE, "length")
      expect.errno("EBUSY", attached.map, attached)
      attached:unmap()
      attached:unmap()
      attached:map()
      attached:detach()
      expect.errno("EBADFD", attached.map, attached)
    end) },
    -- The kernel links every range at the start of the I/O virtual addresses it has allocated for all of them.
    { "two ranges", mapping(function(_, dev, export, opt, route)
      local buf <close> = export({ 0, 1 }, { 4, 2 })
      local attached <close> = importer.attach(buf)
      if route == "translated" then
        expect.errno("EADDRINUSE", attached.map, attached)
        expect_state(attached, 0, false, "afterwards")
        return
      end
      local pieces, count = attached:map()
      local bar = importer.bus_address(dev, opt.region)
      expect.equal(count, 2, "pieces")
      expect.equal(pieces[1].address, bar, "the first one's address")
      expect.equal(pieces[1].length, PAGE, "the first one's length")
      expect.equal(pieces[2].address, bar + 4 * PAGE, "the second one's address")
      expect.equal(pieces[2].length, 2 * PAGE, "the second one's length")
    end) },
    { "two importers at once", mapping(function(_, _, export, _, route)
      local buf <close> = export { 0, 16 }
      local one <close> = importer.attach(buf)
      local two <close> = importer.attach(buf)
      expect.equal(one:map()[1].address == two:map()[1].address, route == "straight", "the same address")
    end) },

    { "DMA within the BAR", mapping(function(_, dev, export, opt, route)
      local buf <close> = export { 1, 64 }
      local attached <close> = importer.attach(buf)
      attached:map()
      local sent = pattern.bytes(opt.length, 4)
      dev:write(opt.region, PAGE, sent)
      dev:write(opt.region, 0x21000, ("\0"):rep(opt.length + 1))
      attached:copy(0, 0x20000, opt.length)
      expect.bytes(dev:read(opt.region, 0x21000, opt.length), sent, copy_by(route))
      expect.bytes(dev:read(opt.region, 0x21000 + opt.length, 1), "\0", "behind the copy")
    end) },
    { "DMA beyond the dma-buf, or without a mapping", mapping(function(_, _, export)
      local buf <close> = export { 0, 2 }
      local attached <close> = importer.attach(buf)
      expect.errno("ENXIO", attached.copy, attached, 0, PAGE, 16)
      attached:map()
      expect.errno("ERANGE", attached.copy, attached, 0, 2 * PAGE - 8, 16)
      expect.errno("ERANGE", attached.copy, attached, math.mininteger, 0, 16)
    end) },

    { "a reset takes the mapping, and it can be mapped again", mapping(function(_, dev, export, opt, route)
      local buf <close> = export { 0, 16 }
      local attached <close> = importer.attach(buf)
      attached:map()
      dev:reset()
      -- Once for the revoke, once for its end.
      expect_state(attached, 2, false, "after the reset")
      expect.errno("ENXIO", attached.copy, attached, 0, PAGE, 16)
      attached:map()
      dev:write(opt.region, 0, "sixteen bytes :)")
      attached:copy(0, PAGE, 16)
      expect.bytes(dev:read(opt.region, PAGE, 16), "sixteen bytes :)", copy_by(route))
      expect_state(attached, 2, true, "in the end")
    end) },
    { "memory off takes the mapping, memory on tells once more", mapping(function(_, dev, export)
      local buf <close> = export { 0, 16 }
      local attached <close> = importer.attach(buf)
      attached:map()
      pci.set_memory(dev, false)
      local count, mapped = attached:invalidations(), attached:is_mapped()
      pci.set_memory(dev, true)
      expect.equal(count, 1, "invalidations with memory off")
      expect.equal(mapped, false, "mapped with memory off")
      expect_state(attached, 2, false, "with memory on")
    end) },
    { "closing the device takes the mapping for good", mapping(function(_, dev, export)
      local buf <close> = export { 0, 16 }
      local attached <close> = importer.attach(buf)
      attached:map()
      dev:close()
      expect_state(attached, 1, false, "afterwards")
      expect.errno("ENODEV", attached.map, attached)
      expect.errno("ENODEV", importer.attach, buf)
    end) },
    { "closing the importer while it is mapped", mapping(function(_, dev, export)
      local buf <close> = export { 0, 16 }
      local attached <close> = importer.attach(buf)
      attached:map()
      attached:close()
      dev:reset()
    end) },

    { "host memory needs no ability", case(function(t)
      local ok, heap = pcall(sys.open, "/dev/dma_heap/system")
      if not ok then
        t:skip("this kernel has no system heap")
      end
      local _heap <close> = heap
      local got = sys.ioctl(heap:fd(), HEAP_ALLOC, string.pack("<I8I4I4I8", 0x10000, 0, 0x80002, 0))
      expect.equal(got.result, 0, "DMA_HEAP_IOCTL_ALLOC")
      local buf <close> = sys.adopt((string.unpack("<I4", got.bytes, 9)))
      local attached <close> = importer.attach(buf, { peer2peer = false, invalidate = false })
      attached:map()
      attached:copy(0, 0x8000, 64)
    end) },
    { "the importer is told the hint", case(function(t, _, export)
      local buf <close> = export { 0, 16 }
      local attached <close> = importer.attach(buf)
      local ok, err = pcall(attached.hint, attached) ---@type boolean, any
      if not ok and err.name == "ENOENT" then
        t:skip("vfio_tph is not loaded (--lab-tph)")
      end
      expect.errno("EOPNOTSUPP", attached.hint, attached)
      buf:set_tph { st = 0x42, ph = "target" }
      expect.tag(attached:hint().st, 0x42, "tag")
      expect.equal(attached:hint().ph, 2, "processing hint")
      buf:set_tph { st = 0x43, ph = "requester" }
      expect.tag(attached:hint().st, 0x43, "tag after a second SET")
      -- v2 has one tag, which fits 16 bits as well.
      local got, extended = pcall(attached.hint, attached, true) ---@type boolean, any
      expect.equal(got and extended.st or extended.name, got and 0x43 or "EOPNOTSUPP", "16-bit tag")
    end) },
  },
}
