--- What the interrupt cases of this folder work with: VFIO_DEVICE_SET_IRQS, and eventfds that count.
local vfio, sys, answers = require "vfio", require "sys", require "answers"

local irqs = {}

--- A request; data are bytes or a list of descriptors.
function irqs.set(index, flags, start, count, data, argsz)
  if type(data) == "table" then
    local list = {}
    for i, fd in ipairs(data) do
      list[i] = string.pack("<i4", fd)
    end
    data = table.concat(list)
  end
  data = data or ""
  return string.pack("<I4I4I4I4I4", argsz or (20 + #data), flags, index, start, count) .. data
end

--- A case for the device that an option names. Its body gets the device, its descriptor, a recorder and, by their numbers,
--- the descriptors of four eventfds; `set(name, ...)` records the answer to a request, `events(name)` what the eventfds
--- have counted, which it empties, and `wait(name, index)` the same once that one has counted. It always does: however slow
--- the machine is, only an interrupt that is lost is given up.
function irqs.case(option, body)
  return function(t, opt)
    local answer = answers.new(t)
    local dev <close> = vfio.open(opt[option])
    local a <close> = sys.eventfd()
    local b <close> = sys.eventfd()
    local c <close> = sys.eventfd()
    local d <close> = sys.eventfd()
    local with = { t = t, dev = dev, fd = dev:fd(), answer = answer, files = { a, b, c, d } }
    for i, file in ipairs(with.files) do
      with[i] = file:fd()
    end

    function with.set(what, ...)
      answer:ioctl(what, dev:fd(), "VFIO_DEVICE_SET_IRQS", irqs.set(...))
    end

    function with.events(what)
      local counts = {}
      for i = 1, 4 do
        local there = with[i] and sys.poll(with[i], 1).result == 1
        counts[i] = there and string.unpack("<I8", sys.read(with[i], 8).bytes) or 0
      end
      answer:value(what, table.concat(counts, " "))
    end

    function with.wait(what, index)
      local give_up = sys.now() + 120 * 1000000000
      while sys.poll(with[index], 1).result ~= 1 and sys.now() < give_up do
        sys.sleep(1)
      end
      with.events(what)
    end

    body(with)
  end
end

return irqs
