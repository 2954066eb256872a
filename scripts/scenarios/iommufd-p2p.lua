-- Peer to peer through a dma-buf: a DMA engine reads and writes another device's BAR, which it reaches by
-- IOMMU_IOAS_MAP_FILE. No NIC, no driver of either device: bytes go from device to device.
local vfio, iommufd, memory = require "vfio", require "iommufd", require "memory"
local expect, pattern, edu = require "expect", require "pattern", require "engines.edu"

local BAR, HOST = 0x100000, 0x200000 -- I/O virtual addresses; edu reaches 28 bits

--- Opens everything, maps it into the engine's address space and hands it to `body`.
local function with_engine(opt, body)
  local exporter <close> = vfio.open(opt.exporter, { via = "cdev" })
  local buf <close> = exporter:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = "64K" } } }
  local context <close> = iommufd.open()
  local device <close> = vfio.open(opt.engine, { iommufd = context })
  local ioas <close> = context:alloc_ioas()
  device:attach(ioas)
  local host <close> = memory.alloc(opt.length)
  ioas:map_file { dmabuf = buf, length = "64K", iova = BAR }
  ioas:map { memory = host, iova = HOST }
  body(exporter, edu.start(device), host)
  device:detach()
end

return {
  name = "iommufd-p2p",
  about = "a DMA engine moves bytes to and from another device's BAR, through a dma-buf in its IOAS",
  tags = { "export", "iommufd", "p2p" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "device whose BAR is exported" },
    engine = { type = "pci", default = "auto", id = edu.id, about = "device that does the DMA" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "BAR to export" },
    length = { type = "size", default = 4096, min = 1, max = 4096, about = "bytes to move" },
  },
  needs = { "vfio.dma_buf", "iommufd" },
  effects = { "open", "region_write", "config_write", "dma" },
  cases = {
    { "the engine reads the exporter's BAR", function(t, opt)
      with_engine(opt, function(exporter, engine, host)
        local sent = pattern.bytes(opt.length, 1)
        exporter:write(opt.region, 0, sent)
        engine:copy(BAR, HOST, opt.length)
        expect.bytes(host:read(0, opt.length), sent, "host memory")
      end)
    end },

    { "the engine writes the exporter's BAR", function(t, opt)
      with_engine(opt, function(exporter, engine, host)
        local sent = pattern.bytes(opt.length, 2)
        host:write(0, sent)
        exporter:write(opt.region, 0x2000, ("\0"):rep(opt.length))
        engine:copy(HOST, BAR + 0x2000, opt.length)
        expect.bytes(exporter:read(opt.region, 0x2000, opt.length), sent, "BAR")
      end)
    end },

    { "from BAR to BAR, host memory untouched", function(t, opt)
      with_engine(opt, function(exporter, engine, host)
        local sent = pattern.bytes(opt.length, 3)
        exporter:write(opt.region, 0, sent)
        engine:copy(BAR, BAR + 0x4000, opt.length)
        expect.bytes(exporter:read(opt.region, 0x4000, opt.length), sent, "BAR")
        expect.bytes(host:read(0, opt.length), ("\0"):rep(opt.length), "host memory")
      end)
    end },
  },
}
