-- What VFIO_DEVICE_FEATURE_DMA_BUF takes and what it refuses, and with which errno.
local vfio, expect = require "vfio", require "expect"

local PAGE = 4096

--- A case in which exporting `ranges` of `region` (default: the option) is refused with that errno.
local function refused(errno, ranges, region)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    expect.errno(errno, function()
      local _buf <close> = dev:export_dmabuf { region_index = region or opt.region, ranges = ranges }
    end)
  end
end

--- A case in which two pages are refused that begin so many bytes from the end of the BAR, as it is long on this device.
local function refused_at_end(offset)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    local size = dev:region_info(opt.region).size
    expect.errno("EINVAL", function()
      local _buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = size + offset, length = 2 * PAGE } } }
    end)
  end
end

--- A case in which exporting `ranges` gives a dma-buf of that size.
local function taken(size, ranges, open_flags)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    local buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = ranges, open_flags = open_flags }
    expect.equal(buf:length(), size, "size")
    expect.equal(buf:info().exporter, "vfio_pci_core", "exporter")
  end
end

--- The request with data of our own: region, open flags, flags, number of ranges, ranges.
local function raw(opt, flags, ...)
  local data = string.pack("<I4I4I4I4", opt.region, 0, flags, select("#", ...) // 2)
  return data .. string.pack("<" .. ("I8"):rep(select("#", ...)), ...)
end

return {
  name = "export-ranges",
  about = "dma-buf export of several ranges, and every refusal with its errno",
  tags = { "export", "refusals" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device whose BAR is exported" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR of at least 1 MiB" },
  },
  needs = { "vfio.dma_buf" },
  effects = { "open", "raw" },
  cases = {
    { "one range", taken(0x10000, { { offset = 0, length = 0x10000 } }) },
    { "one range in the middle", taken(PAGE, { { offset = 0x8000, length = PAGE } }) },
    { "several ranges", taken(3 * PAGE, { { offset = 0, length = PAGE }, { offset = 0x4000, length = 2 * PAGE } }) },
    { "ranges that overlap", taken(4 * PAGE, { { offset = 0, length = 2 * PAGE }, { offset = PAGE, length = 2 * PAGE } }) },
    { "the same range twice", taken(2 * PAGE, { { offset = 0, length = PAGE }, { offset = 0, length = PAGE } }) },
    { "ranges in falling order", taken(2 * PAGE, { { offset = 0x4000, length = PAGE }, { offset = 0, length = PAGE } }) },
    { "open flags that mean nothing", taken(PAGE, { { offset = 0, length = PAGE } }, 0x80000002) },

    { "no range", refused("EINVAL", {}) },
    { "an empty range", refused("EINVAL", { { offset = 0, length = 0 } }) },
    { "an empty range after a good one", refused("EINVAL", { { offset = 0, length = PAGE }, { offset = 0, length = 0 } }) },
    { "an unaligned offset", refused("EINVAL", { { offset = 0x800, length = PAGE } }) },
    { "an unaligned length", refused("EINVAL", { { offset = 0, length = 0x800 } }) },
    { "a range past the end", refused_at_end(0) },
    { "a range that reaches past the end", refused_at_end(-PAGE) },
    { "a range that wraps around", refused("EOVERFLOW", { { offset = -PAGE, length = 2 * PAGE } }) },
    { "lengths whose sum wraps around", refused("EINVAL", {
      { offset = 0, length = math.mininteger }, { offset = 0, length = math.mininteger },
    }) },
    { "a total of 2^63 bytes", refused("EINVAL", { { offset = 0, length = math.mininteger } }) },
    { "a BAR that the device has not", refused("ENODEV", { { offset = 0, length = PAGE } }, 1) },
    { "the upper half of a 64-bit BAR", refused("ENODEV", { { offset = 0, length = PAGE } }, 3) },
    { "a BAR smaller than a page", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local region = 0
      while region < 6 and not (0 < dev:region_info(region).size and dev:region_info(region).size < PAGE) do
        region = region + 1
      end
      if region == 6 then
        t:skip("no BAR of " .. opt.exporter .. " is smaller than a page")
      end
      expect.errno("EINVAL", dev.export_dmabuf, dev, { region_index = region, ranges = { { offset = 0, length = PAGE } } })
    end },
    { "the ROM", refused("ENODEV", { { offset = 0, length = PAGE } }, 6) },
    { "the configuration space", refused("ENODEV", { { offset = 0, length = PAGE } }, 7) },
    { "a region number without meaning", refused("ENODEV", { { offset = 0, length = PAGE } }, 0xffffffff) },
    { "a bad range of a region that is no BAR", refused("ENODEV", { { offset = 1, length = 1 } }, 7) },

    { "flags that are reserved", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      expect.errno("EINVAL", dev.feature, dev, { number = 11, operation = { "get" }, data = raw(opt, 1, 0, PAGE) })
    end },
    { "SET instead of GET", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      expect.errno("EINVAL", dev.feature, dev, { number = 11, operation = { "set" }, data = raw(opt, 0, 0, PAGE) })
    end },
    { "data shorter than the fixed part", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      expect.errno("EINVAL", dev.feature, dev, { number = 11, operation = { "get" }, data = raw(opt, 0, 0, PAGE):sub(1, 12) })
    end },
    { "PROBE of GET", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      expect.equal((dev:feature { number = 11, operation = { "probe", "get" } }), 0)
    end },
    { "PROBE of SET", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      expect.errno("EINVAL", dev.feature, dev, { number = 11, operation = { "probe", "set" } })
    end },
    { "a name of 31 bytes, and one of 32", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = PAGE } } }
      buf:set_name(("n"):rep(31))
      expect.equal(buf:info().name, ("n"):rep(31), "name")
      expect.errno("EINVAL", buf.set_name, buf, ("n"):rep(32))
    end },
    { "sync does nothing, and wants a direction", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = PAGE } } }
      buf:sync { "start", "read" }
      buf:sync { "end", "read" }
      expect.errno("EINVAL", buf.sync, buf, { "start" })
    end },
    { "the dma-buf outlives its device", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = PAGE } } }
      dev:close()
      expect.equal(buf:length(), PAGE, "size")
    end },
  },
}
