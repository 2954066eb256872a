-- VFIO_DEVICE_FEATURE: its header, and every feature number with every operation.
local vfio, sys, answers, asleep = require "vfio", require "sys", require "answers", require "asleep"

local FEATURE = "VFIO_DEVICE_FEATURE"
local GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18

--- A request: argsz (default: what is there), flags, data.
local function request(flags, data, argsz)
  data = data or ""
  return string.pack("<I4I4", argsz or (8 + #data), flags) .. data
end

local names = {
  "VF token", "migration", "migration state", "low power entry", "low power entry with wake-up", "low power exit",
  "logging start", "logging stop", "logging report", "migration data size", "bus master", "dma-buf", "precopy info",
  "zpci error", "14", "15", "16", "65535",
}

--- One case for all operations of a feature. `data` is long enough for it.
local function operations(number, data)
  return function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local fd = dev:fd()
    answer:ioctl("PROBE", fd, FEATURE, request(number | PROBE))
    answer:ioctl("PROBE GET", fd, FEATURE, request(number | PROBE | GET))
    answer:ioctl("PROBE SET", fd, FEATURE, request(number | PROBE | SET))
    answer:ioctl("PROBE GET SET", fd, FEATURE, request(number | PROBE | GET | SET))
    answer:ioctl("no operation", fd, FEATURE, request(number, data))
    answer:ioctl("GET SET", fd, FEATURE, request(number | GET | SET, data))
    answer:ioctl("GET without data", fd, FEATURE, request(number | GET))
    answer:ioctl("SET without data", fd, FEATURE, request(number | SET))
    if number ~= 11 then
      answer:ioctl("GET", fd, FEATURE, request(number | GET, data))
    end
    answer:ioctl("SET", fd, FEATURE, request(number | SET, data))
    answer:ioctl("SET, data one byte short", fd, FEATURE, request(number | SET, data:sub(2)))
    answer:ioctl("GET, data unreadable", fd, FEATURE, request(number | GET, "", 8 + #data))
    answer:ioctl("SET, data unreadable", fd, FEATURE, request(number | SET, "", 8 + #data))
  end
end

local cases = {
  { "header", function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local fd = dev:fd()
    answer:ioctl("no bytes", fd, FEATURE, "")
    answer:ioctl("7 bytes", fd, FEATURE, ("\8\0\0\0\0\0\0"))
    answer("NULL", sys.ioctl, fd, FEATURE, 0)
    answer("address 1", sys.ioctl, fd, FEATURE, 1)
    for _, argsz in ipairs { 0, 1, 7, 8, 9, 0xffffffff } do
      answer:ioctl("PROBE of dma-buf, argsz " .. argsz, fd, FEATURE, request(11 | PROBE | GET, "", argsz))
    end
    for bit = 19, 31 do
      answer:ioctl("bit " .. bit, fd, FEATURE, request(11 | PROBE | 1 << bit))
    end
    answer:ioctl("bit 19 of an unknown feature", fd, FEATURE, request(99 | 1 << 19))
    answer:ioctl("GET SET of an unknown feature", fd, FEATURE, request(99 | GET | SET))
    answer:ioctl("argsz 7 of an unknown feature", fd, FEATURE, request(99 | GET, "", 7))
    answer:ioctl("nothing of an unknown feature", fd, FEATURE, request(99))
    answer:ioctl("the number with direction bits", fd, 0xc0003b75, request(11 | PROBE | GET))
  end },

  { "low power states", function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local fd = dev:fd()
    answer:ioctl("exit without entry", fd, FEATURE, request(5 | SET))
    answer:ioctl("entry", fd, FEATURE, request(3 | SET))
    answer:ioctl("entry again", fd, FEATURE, request(3 | SET))
    answer:ioctl("exit", fd, FEATURE, request(5 | SET))
    answer:ioctl("exit again", fd, FEATURE, request(5 | SET))
    answer:ioctl("entry after exit", fd, FEATURE, request(3 | SET))
    answer("config read while it sleeps", dev.load, dev, 7, 0, 4)
    answer:ioctl("entry after an access", fd, FEATURE, request(3 | SET))
    answer:ioctl("probe while it sleeps", fd, FEATURE, request(3 | SET | PROBE))
    answer:ioctl("exit", fd, FEATURE, request(5 | SET))
  end },

  { "low power with wake-up", function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt.exporter)
    local fd = dev:fd()
    local function entry(descriptor, reserved)
      return request(4 | SET, string.pack("<i4I4", descriptor, reserved or 0))
    end
    answer:ioctl("eventfd -1", fd, FEATURE, entry(-1))
    answer:ioctl("eventfd not open", fd, FEATURE, entry(999))
    answer:ioctl("the device instead of an eventfd", fd, FEATURE, entry(fd))
    answer:ioctl("4 bytes of data", fd, FEATURE, request(4 | SET, string.pack("<i4", -1)))
    local event <close> = sys.eventfd()
    answer:ioctl("an eventfd", fd, FEATURE, entry(event:fd()))
    asleep.wait(opt.exporter)
    answer:ioctl("again", fd, FEATURE, entry(event:fd()))
    answer:ioctl("exit", fd, FEATURE, request(5 | SET))
    answer:value("events after exit", sys.poll(event:fd(), 1).result)
    answer:ioctl("reserved data", fd, FEATURE, entry(event:fd(), 1))
    asleep.wait(opt.exporter)
    answer("config read wakes it", dev.load, dev, 7, 0, 4)
    answer:value("events after the access", sys.poll(event:fd(), 1).result)
    answer:ioctl("exit", fd, FEATURE, request(5 | SET))
  end },
}

for i, name in ipairs(names) do
  local number = math.tointeger(name) or i - 1
  -- Data that is refused for its contents (descriptor -1) where the feature takes any.
  local data = number == 4 and string.pack("<i4I4", -1, 0) or ("\0"):rep(number == 11 and 16 or 32)
  cases[#cases + 1] = { ("feature %02d (%s)"):format(number, name), operations(number, data) }
end

return {
  name = "conformance-feature",
  about = "VFIO_DEVICE_FEATURE: header, and every number with every operation",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device that is asked" },
  },
  cases = cases,
}
