-- What VFIO_DEVICE_FEATURE_DMA_BUF_TPH takes and what it refuses, and with which errno: every check of the series that a
-- program can reach. What is expected depends on the structure that the kernel takes, which is found out here anew.
local vfio, sys, expect = require "vfio", require "sys", require "expect"
local feature, fixture = require "tph_feature", require "fixture"

local structures, pack, patched, answer = feature.structures, feature.pack, feature.patched, feature.answer
local ST, ST_EXT = feature.ST, feature.ST_EXT
local HEAP_ALLOC = 0xc0184800 -- DMA_HEAP_IOCTL_ALLOC

--- A case: `body(t, f)` with the open device, a dma-buf of it and raw access to the feature.
local function case(body)
  return function(t, opt)
    local exporter <close> = fixture.vfio(opt)
    local dev = exporter.dev
    local f = { dev = dev, opt = opt }
    f.number, f.structure = feature.identify(dev)
    function f.export()
      return exporter:export { 0, 16 }
    end
    function f.data(values)
      return pack(f.structure, values)
    end
    function f.set(data)
      return feature.set(dev, f.number, data)
    end
    --- A SET with these values for a new dma-buf must be answered so: "0", or an errno's name.
    function f.answers(expected, values)
      local buf <close> = f.export()
      values.fd = values.fd or buf:fd()
      expect.equal(answer(dev, f.number, f.data(values)), expected, "answer")
    end
    body(t, f)
  end
end

--- Bits 13:12 of Device Capabilities 2: 0 no completer, 1 one of 8-bit tags, 3 of 16-bit ones too.
local function completer(dev)
  local at = dev:load(vfio.CONFIG, 0x34, 1)
  while at ~= 0 and dev:load(vfio.CONFIG, at, 1) ~= 0x10 do
    at = dev:load(vfio.CONFIG, at + 1, 1)
  end
  return at == 0 and 0 or dev:load(vfio.CONFIG, at + 0x24, 4) >> 12 & 3
end

--- A case for structures with flags; others skip it.
local function flags_case(body)
  return case(function(t, f)
    if not f.structure.flags then
      t:skip("this revision has no flags")
    end
    body(t, f)
  end)
end

return {
  name = "tph-set",
  about = "set a TPH hint on a dma-buf, and every refusal with its errno",
  tags = { "tph", "refusals" },
  options = fixture.exporter_options(),
  needs = { "vfio.dma_buf", "vfio.dma_buf_tph" },
  effects = { "open", "config_write", "raw" },
  cases = {
    { "every processing hint, smallest and largest tag", case(function(_, f)
      for _, ph in ipairs { "bidirectional", "requester", "target", "target-priority" } do
        for _, st in ipairs { 0, 0xff } do
          local buf <close> = f.export()
          buf:set_tph { st = st, ph = ph }
        end
      end
    end) },
    { "a 16-bit tag, alone and with an 8-bit one", case(function(_, f)
      local one <close> = f.export()
      local both <close> = f.export()
      if not f.structure.flags then
        expect.error("no namespaces", one.set_tph, one, { st_ext = 0x1234, ph = "target" })
        return
      end
      local set, refusal = pcall(one.set_tph, one, { st_ext = 0x1234, ph = "target" })
      if not set then
        -- From v7 on a completer of 8 bits takes none of 16.
        expect.equal(refusal.name, "EOPNOTSUPP", "answer")
        expect.equal(completer(f.dev), 1, "the exporter's TPH completer, DevCap2 bits 13:12")
        expect.errno("EOPNOTSUPP", both.set_tph, both, { st = 0x34, st_ext = 0x1234, ph = "target" })
        return
      end
      both:set_tph { st = 0x34, st_ext = 0x1234, ph = "target" }
    end) },
    { "a second SET replaces the first", case(function(t, f)
      local buf <close> = f.export()
      buf:set_tph { st = 1, ph = "target" }
      if f.structure == structures.v4 and answer(f.dev, f.number, f.data { fd = buf:fd() }) == "EBUSY" then
        t:skip("v4 sets once")
      end
      buf:set_tph { st = 2, ph = "requester" }
    end) },
    { "clearing, before and after a SET", case(function(_, f)
      local buf <close> = f.export()
      if not f.structure.clears then
        expect.error("cannot clear", buf.clear_tph, buf)
        return
      end
      buf:clear_tph()
      buf:set_tph { st = 1, ph = "target" }
      buf:clear_tph()
      buf:set_tph { st = 2, ph = "target" }
    end) },
    { "a SET while the dma-buf is revoked", case(function(_, f)
      local buf <close> = f.export()
      local command = f.dev:load(vfio.CONFIG, 4, 2)
      f.dev:store(vfio.CONFIG, 4, 2, command & ~2)
      local result = answer(f.dev, f.number, f.data { fd = buf:fd(), st = 1 })
      f.dev:store(vfio.CONFIG, 4, 2, command)
      expect.equal(result, "0", "answer")
    end) },

    { "no flags", flags_case(function(_, f)
      f.answers(f.structure.clears and "0" or "EINVAL", { flags = 0 })
    end) },
    { "a flag without meaning", flags_case(function(_, f)
      f.answers("EINVAL", { flags = ST | ST_EXT | 4 })
    end) },
    { "a flag without meaning, of no dma-buf", flags_case(function(_, f)
      f.answers("EINVAL", { flags = 1 << 31, fd = -1 })
    end) },
    { "a tag of 16 bits in the 8-bit namespace", case(function(t, f)
      if f.structure.size == 12 then
        t:skip("the field has 8 bits")
      end
      f.answers("0", { st = 0x1ff })
    end) },
    { "a hint above 3", case(function(_, f)
      -- v2 stores what no TLP can carry.
      f.answers(f.structure.flags and "EINVAL" or "0", { ph = 4 })
    end) },
    { "a hint above 3, of no dma-buf", case(function(_, f)
      f.answers(f.structure.flags and "EINVAL" or "EBADF", { ph = 0xff, fd = -1 })
    end) },
    { "a reserved byte", case(function(t, f)
      local offset = f.structure.reserved or t:skip("this revision reserves no byte")
      local buf <close> = f.export()
      expect.errno("EINVAL", f.set, patched(f.data { fd = buf:fd() }, offset, 1))
      expect.errno("EINVAL", f.set, patched(f.data { fd = -1 }, offset, 0x80))
    end) },

    { "descriptor -1", case(function(_, f)
      f.answers("EBADF", { fd = -1 })
    end) },
    { "a closed dma-buf", case(function(_, f)
      local buf = f.export()
      local fd = buf:fd()
      buf:close()
      expect.errno("EBADF", f.set, f.data { fd = fd })
    end) },
    { "a descriptor of something else", case(function(_, f)
      f.answers("EINVAL", { fd = f.dev:fd() })
    end) },
    { "a dma-buf of another exporter", case(function(t, f)
      local ok, heap = pcall(sys.open, "/dev/dma_heap/system")
      if not ok then
        t:skip("no other exporter: " .. tostring(heap))
      end
      local _heap <close> = heap
      local got = sys.ioctl(heap:fd(), HEAP_ALLOC, string.pack("<I8I4I4I8", 65536, 0, 0x80002, 0))
      expect.equal(got.result, 0, "DMA_HEAP_IOCTL_ALLOC")
      local foreign <close> = sys.adopt((string.unpack("<I4", got.bytes, 9)))
      expect.errno("EINVAL", f.set, f.data { fd = foreign:fd() })
    end) },
    { "a dma-buf of another VFIO device", case(function(t, f)
      for _, found in ipairs(vfio.devices()) do
        if found.address ~= f.dev:address() then
          local other <close> = vfio.open(found.address)
          local ok, buf = pcall(other.export_dmabuf, other, { region_index = 0, ranges = { { offset = 0, length = 4096 } } })
          if ok then
            local _buf <close> = buf
            expect.errno("EINVAL", f.set, f.data { fd = buf:fd() })
            return
          end
        end
      end
      t:skip("no other device here exports its BAR 0")
    end) },

    { "data too short", case(function(_, f)
      local buf <close> = f.export()
      local data = f.data { fd = buf:fd() }
      expect.errno("EINVAL", f.set, data:sub(1, -2))
      expect.errno("EINVAL", f.set, "")
    end) },
    { "data longer than needed", case(function(_, f)
      local buf <close> = f.export()
      f.set(f.data { fd = buf:fd() } .. ("\xff"):rep(32))
    end) },
    { "data that cannot be read", case(function(_, f)
      -- The header alone lies before the unreadable page; SET is bit 17.
      local header = string.pack("<I4I4", 8 + f.structure.size, 1 << 17 | f.number)
      expect.equal(sys.ioctl(f.dev:fd(), "VFIO_DEVICE_FEATURE", header).name, "EFAULT", "errno")
    end) },
    { "PROBE, and of SET", case(function(_, f)
      expect.equal((f.dev:feature { number = f.number, operation = { "probe" } }), 0)
      expect.equal((f.dev:feature { number = f.number, operation = { "probe", "set" } }), 0)
    end) },
    { "PROBE of GET", case(function(_, f)
      expect.errno("EINVAL", f.dev.feature, f.dev, { number = f.number, operation = { "probe", "get" } })
    end) },
    { "neither GET nor SET", case(function(_, f)
      expect.errno("EINVAL", f.dev.feature, f.dev, { number = f.number, operation = {}, data = f.data { fd = -1 } })
    end) },
  },
}
