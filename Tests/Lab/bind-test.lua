-- What Tests/Lab/bind-test-guest runs with a device that it has bound: the device works; then as `what` says.
local vfio, sys = require "vfio", require "sys"

return {
  name = "bind-test",
  options = {
    device = { type = "pci", default = "auto", id = "1af4:1044", about = "a device that the kernel has a driver for" },
    what = { type = "enum", values = { "passes", "fails", "waits" }, default = "passes", about = "what happens then" },
  },
  cases = {
    { "the device is VFIO's", function(t, opt)
      local _device <close> = vfio.open(opt.device)
      t:log(sys.readlink("/sys/bus/pci/devices/" .. opt.device .. "/driver"))
      if opt.what == "fails" then
        error("as told", 0)
      elseif opt.what == "waits" then
        print "waiting"
        sys.sleep(600000)
      end
    end },
  },
}
