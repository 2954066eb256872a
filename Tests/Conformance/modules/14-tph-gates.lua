-- What v6 to v11 of the series ask of the device before they serve VFIO_DEVICE_FEATURE_DMA_BUF_TPH, as the lab's module
-- vfio_tph has it: the order of each check among those of size, operation and values. Unlike 12-tph.lua it runs where the
-- exporter is no completer, and so no hint can be set.
local vfio, answers, feature = require "vfio", require "answers", require "tph_feature"

local PAGE = 4096
local GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
local ST, ST_EXT = feature.ST, feature.ST_EXT
local structure = feature.structures.v6

local function case(body)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    local c = { answer = answers.new(t), dev = dev, opt = opt }
    --- A request of these bytes; argsz is what is there unless it is told.
    function c.send(name, flags, bytes, argsz)
      c.answer:ioctl(name, dev:fd(), "VFIO_DEVICE_FEATURE",
        string.pack("<I4I4", argsz or (8 + #bytes), opt.number | flags) .. bytes)
    end
    --- A SET of these values, once for no dma-buf, and once for the device's own.
    function c.set(name, values)
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = PAGE } } }
      values.fd = -1
      c.send(name .. ", no dma-buf", SET, feature.pack(structure, values))
      values.fd = buf:fd()
      c.send(name .. ", a dma-buf", SET, feature.pack(structure, values))
    end
    body(c)
  end
end

return {
  name = "conformance-tph-gates",
  about = "what DMA_BUF_TPH asks of the exporter, and when",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR 2 is exported" },
    number = { type = "integer", default = 13, min = 13, max = 65535, about = "number of the feature" },
  },
  needs = { "vfio.dma_buf" },
  effects = { "open", "config_write", "reset", "raw" },
  cases = {
    { "operations", case(function(c)
      local data = feature.pack(structure, { fd = -1 })
      for _, row in ipairs {
        { "PROBE", PROBE }, { "PROBE SET", PROBE | SET }, { "PROBE GET", PROBE | GET },
        { "PROBE GET SET", PROBE | GET | SET }, { "GET", GET }, { "GET SET", GET | SET }, { "no operation", 0 },
        { "SET", SET }, { "bit 19", SET | 1 << 19 },
      } do
        c.send(row[1], row[2], data)
        c.send(row[1] .. ", no data", row[2], "")
      end
      c.send("argsz 7", SET, data, 7)
    end) },

    { "sizes", case(function(c)
      local data = feature.pack(structure, { fd = -1 })
      for count = 0, structure.size do
        c.send(("%d bytes"):format(count), SET, data:sub(1, count))
        c.send(("%d bytes readable"):format(count), SET, data:sub(1, count), 8 + structure.size)
      end
      c.send("more bytes", SET, data .. ("\xff"):rep(8))
    end) },

    { "values", case(function(c)
      for bit = 0, 31 do
        c.set(("flag %d"):format(bit), { flags = 1 << bit, st = 1, st_ext = 0x101 })
      end
      for _, flags in ipairs { 0, ST | ST_EXT, ST | 4, ST_EXT | 4, ST_EXT | 1 << 31 } do
        for _, ph in ipairs { 0, 3, 4, 255 } do
          c.set(("flags 0x%x, hint %d"):format(flags, ph), { flags = flags, st = 1, st_ext = 0x101, ph = ph })
        end
      end
    end) },

    { "decoding, power and reset", case(function(c)
      local dev = c.dev
      c.set("at first", { st = 1 })
      dev:store(vfio.CONFIG, 4, 2, 0)
      c.send("PROBE, memory off", PROBE | SET, "")
      c.send("memory off", SET, feature.pack(structure, { fd = -1 }))
      dev:store(vfio.CONFIG, 4, 2, 2)
      c.set("memory on", { st = 2 })
      c.answer("reset", dev.reset, dev)
      c.set("after a reset", { st = 3 })
    end) },
  },
}
