-- A kernel that panics where it is told to, while a run beside it still has a case.
local sys = require "sys"

return {
  name = "deaths-chosen",
  about = "a kernel that panics in one of two runs",
  effects = { "raw" },
  options = {
    die = { type = "boolean", default = false, about = "whether it panics" },
    pause = { type = "integer", default = 0, min = 0, max = 60000, about = "milliseconds before that" },
  },
  matrix = { die = { "false", "true" } },
  cases = {
    { "measures", function(t, opt)
      t:metric("m", 5, { better = "lower" })
      sys.sleep(opt.die and opt.pause or 3 * opt.pause)
      if opt.die then
        local file <close> = sys.open("/proc/sysrq-trigger", 1)
        sys.write(file:fd(), "c")
      end
    end },
  },
}
