-- Which driver has a function: driver_override, bind, unbind and drivers_probe of sysfs. The Express function, which
-- virtio-pci knows, is bound to vfio-pci again at the end of each case.
local sys, answers = require "sys", require "answers"

local WRITE, READ_WRITE = 1, 2
local BUS = "/sys/bus/pci/"

local function store(answer, name, path, text)
  local file <close> = answer("open for " .. name, sys.open, BUS .. path, WRITE)
  if file then
    answer(name, sys.write, file:fd(), text)
  end
end

local function driver(answer, name, address)
  local ok, link = pcall(sys.readlink, BUS .. "devices/" .. address .. "/driver") ---@type boolean, any
  answer:value(name, ok and link:match "[^/]*$" or link.name)
end

local function override(answer, name, address)
  local file <close> = sys.open(BUS .. "devices/" .. address .. "/driver_override", 0)
  answer(name, sys.read, file:fd(), 8192)
end

local function quietly(path, text)
  local file <close> = sys.open(BUS .. path, WRITE)
  return sys.write(file:fd(), text)
end

--- Whatever happened, it is vfio-pci's.
local function back(address)
  quietly("devices/" .. address .. "/driver_override", "vfio-pci")
  local ok, link = pcall(sys.readlink, BUS .. "devices/" .. address .. "/driver") ---@type boolean, any
  if ok and not link:find "/vfio%-pci$" then
    quietly("drivers/" .. link:match "[^/]*$" .. "/unbind", address)
  end
  quietly("drivers/vfio-pci/bind", address)
end

local cases = {}

cases[#cases + 1] = { "driver_override", function(t, opt)
  local answer, path = answers.new(t), "devices/" .. opt.express .. "/driver_override"
  override(answer, "at first", opt.express)
  for _, text in ipairs {
    "", "\n", "nothing", "first\nsecond", "a\0b", " blank ", ("x"):rep(4094), ("y"):rep(4095), ("z"):rep(4096),
    ("z"):rep(5000), "vfio-pci\n",
  } do
    store(answer, "store " .. answers.show(text), path, text)
    override(answer, "afterwards", opt.express)
  end
  driver(answer, "its driver stays", opt.express)
  local both <close> = answer("for both", sys.open, BUS .. path, READ_WRITE)
  answer("read", sys.read, both:fd(), 100)
  answer("write", sys.write, both:fd(), "vfio-pci")
  back(opt.express)
end }

cases[#cases + 1] = { "names", function(t, opt)
  local answer = answers.new(t)
  for _, name in ipairs {
    "", "\n", "x", "0000:1f:1f.7", opt.express .. " ", " " .. opt.express, opt.express .. "\n\n", opt.express:sub(6),
  } do
    local shown = answers.show(name)
    store(answer, "unbind " .. shown, "drivers/vfio-pci/unbind", name)
    store(answer, "bind " .. shown, "drivers/vfio-pci/bind", name)
    store(answer, "probe " .. shown, "drivers_probe", name)
  end
  driver(answer, "its driver stays", opt.express)
  for _, file in ipairs { "drivers/vfio-pci/unbind", "drivers/vfio-pci/bind", "drivers_probe" } do
    answer("read " .. file, sys.open, BUS .. file, 0)
    answer("read and write " .. file, sys.open, BUS .. file, READ_WRITE)
  end
  answer("no driver", sys.open, BUS .. "drivers/no-such-driver/bind", WRITE)
  back(opt.express)
end }

cases[#cases + 1] = { "from one to the other", function(t, opt)
  local answer, address = answers.new(t), opt.express
  local function try(name)
    store(answer, name .. ", bind to vfio-pci", "drivers/vfio-pci/bind", address)
    store(answer, name .. ", bind to virtio-pci", "drivers/virtio-pci/bind", address)
    store(answer, name .. ", unbind from virtio-pci", "drivers/virtio-pci/unbind", address)
    driver(answer, name .. ", driver", address)
  end
  try "VFIO's"
  store(answer, "probe what is bound", "drivers_probe", address)
  store(answer, "unbind", "drivers/vfio-pci/unbind", address .. "\n")
  driver(answer, "unbound", address)
  answer("its VFIO device", sys.open, BUS .. "devices/" .. address .. "/vfio-dev", 0)
  store(answer, "unbind again", "drivers/vfio-pci/unbind", address)
  store(answer, "virtio-pci is not what the override says", "drivers/virtio-pci/bind", address)
  store(answer, "clear the override", "devices/" .. address .. "/driver_override", "\n")
  store(answer, "vfio-pci does not know it", "drivers/vfio-pci/bind", address)
  store(answer, "virtio-pci knows it", "drivers/virtio-pci/bind", address)
  driver(answer, "driver", address)
  store(answer, "bind twice", "drivers/virtio-pci/bind", address)
  store(answer, "override while it is bound", "devices/" .. address .. "/driver_override", "vfio-pci")
  store(answer, "vfio-pci while virtio-pci has it", "drivers/vfio-pci/bind", address)
  store(answer, "virtio-pci again", "drivers/virtio-pci/bind", address)
  store(answer, "unbind from virtio-pci", "drivers/virtio-pci/unbind", address)
  store(answer, "override that is no driver", "devices/" .. address .. "/driver_override", "nothing")
  store(answer, "probe in vain", "drivers_probe", address)
  driver(answer, "nobody's", address)
  store(answer, "clear it again", "devices/" .. address .. "/driver_override", "")
  store(answer, "or so", "devices/" .. address .. "/driver_override", "\n")
  store(answer, "probe", "drivers_probe", address .. "\n")
  driver(answer, "whose it is by its id", address)
  back(address)
  driver(answer, "at the end", address)
end }

return {
  name = "conformance-drivers",
  about = "which driver has a function, by sysfs",
  options = { express = { type = "pci", default = "auto", id = "1af4:1044", about = "a function that virtio-pci knows" } },
  cases = cases,
}
