-- Whether the lab's machine goes on after hot resets: many in a row of a device, with an access after each.
local vfio, iommufd, sys = require "vfio", require "iommufd", require "sys"

local function resets(option)
  return function(t, opt)
    local context <close> = iommufd.open()
    local dev <close> = vfio.open(opt[option], { iommufd = context })
    local fd, identity = dev:fd(), dev:load(7, 0, 4)
    for number = 1, opt.count do
      local result = sys.ioctl(fd, "VFIO_DEVICE_PCI_HOT_RESET", string.pack("<I4I4I4", 12, 0, 0))
      if result.name then
        error(("hot reset %d: %s"):format(number, result.name))
      end
      assert(dev:load(7, 0, 4) == identity, "another device after a reset")
    end
    t:log(opt.count .. " hot resets")
  end
end

return {
  name = "hot-resets",
  about = "many hot resets in a row",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "a memory BAR" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "QEMU's edu" },
    count = { type = "integer", default = 200, min = 1, max = 100000, about = "hot resets of each" },
  },
  needs = { "iommufd" },
  effects = { "open", "reset", "raw" },
  cases = { { "exporter", resets "exporter" }, { "engine", resets "engine" } },
}
