local expect, fixture = require "expect", require "fixture"

return {
  name = "off",
  about = "an export while memory decode is off",
  effects = { "open", "raw", "config_write" },
  options = fixture.exporter_options(),
  needs = { "vfio.dma_buf" },
  cases = {
    { "export while memory decode is off", function(_, opt)
      local exp <close> = fixture.vfio(opt)
      exp:set_memory(false)
      expect.errno("ENODEV", exp.export, exp)
    end },
  },
}
