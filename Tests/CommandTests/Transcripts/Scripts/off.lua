local expect, reproducing = require "expect", require "reproducing"

return {
  name = "off",
  about = "an export while memory decode is off",
  effects = { "open", "raw", "config_write" },
  options = reproducing.exporter_options(),
  needs = { "vfio.dma_buf" },
  cases = {
    { "export while memory decode is off", reproducing.case(function(exp)
      exp:set_memory(false)
      expect.errno("ENODEV", exp.export, exp)
    end) },
  },
}
