-- Peer to peer the older way: container and group, and the exporter's BAR mapped into the container by its address.
local vfio, type1, memory = require "vfio", require "type1", require "memory"
local expect, pattern, edu = require "expect", require "pattern", require "engines.edu"

local BAR, HOST = 0x100000, 0x200000

local function with_engine(opt, body)
  local container <close> = type1.open()
  local device <close> = vfio.open(opt.engine, { via = "group", container = container })
  local exporter <close> = vfio.open(opt.exporter, { via = "group", container = container })
  local bar <close> = exporter:mmap(opt.region, { length = "64K" })
  local host <close> = memory.alloc(opt.length)
  container:map { memory = bar, iova = BAR }
  container:map { memory = host, length = 4096, iova = HOST }
  body(bar, edu.start(device), host)
  expect.equal(container:unmap(BAR, "64K"), 65536, "bytes unmapped")
end

return {
  name = "type1-p2p",
  about = "a DMA engine moves bytes to and from another device's BAR, mapped by address into a type1 container",
  tags = { "type1", "p2p" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "device whose BAR is mapped" },
    engine = { type = "pci", default = "auto", id = edu.id, about = "device that does the DMA" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "BAR to map" },
    length = { type = "size", default = 4096, min = 1, max = 4096, about = "bytes to move" },
  },
  needs = { "type1" },
  effects = { "open", "region_write", "config_write", "dma" },
  cases = {
    { "the engine reads the exporter's BAR", function(t, opt)
      with_engine(opt, function(bar, engine, host)
        local sent = pattern.bytes(opt.length, 4)
        bar:write(0, sent)
        engine:copy(BAR, HOST, opt.length)
        expect.bytes(host:read(0, opt.length), sent, "host memory")
      end)
    end },

    { "the engine writes the exporter's BAR", function(t, opt)
      with_engine(opt, function(bar, engine, host)
        local sent = pattern.bytes(opt.length, 5)
        host:write(0, sent)
        bar:fill(0x2000, opt.length, 0)
        engine:copy(HOST, BAR + 0x2000, opt.length)
        expect.bytes(bar:read(0x2000, opt.length), sent, "BAR")
      end)
    end },
  },
}
