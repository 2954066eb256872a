-- VFIO_DEVICE_IOEVENTFD: a write to a BAR that an eventfd stands for.
local vfio, sys, answers = require "vfio", require "sys", require "answers"

local REQUEST, BAR, MIB = "VFIO_DEVICE_IOEVENTFD", 2 << 40, 1 << 20

local function request(offset, data, size, fd, argsz)
  return string.pack("<I4I4I8I8i4I4", argsz or 32, size, offset, data, fd, 0)
end

--- Hands over a recorder, the device's descriptor, the device, an eventfd's descriptor and the eventfd.
local function with_event(option, body)
  return function(t, opt)
    local dev <close> = vfio.open(opt[option])
    local event <close> = sys.eventfd()
    body(answers.new(t), dev:fd(), dev, event:fd(), event)
  end
end

local function signal(fd, value)
  sys.write(fd, string.pack("<I8", value or 1))
end

return {
  name = "conformance-ioeventfd",
  about = "VFIO_DEVICE_IOEVENTFD",
  options = {
    exporter = { type = "pci", default = "auto", memory = "1M", about = "device with memory in BAR 2" },
    express = { type = "pci", default = "auto", id = "1af4:1044", about = "device with an MSI-X table in BAR 1" },
  },
  cases = {
    { "refusals", with_event("exporter", function(answer, fd, _, event)
      local function try(name, ...)
        answer:ioctl(name, fd, REQUEST, request(...))
      end
      answer:ioctl("no bytes", fd, REQUEST, "")
      answer:ioctl("24 bytes", fd, REQUEST, request(BAR, 0, 4, event):sub(1, 24))
      for _, argsz in ipairs { 0, 24, 27 } do
        try("argsz " .. argsz, BAR, 0, 4, event, argsz)
      end
      for _, flags in ipairs { 0, 3, 5, 15, 16, 20, 1 << 31 } do
        try("flags " .. flags, BAR, 0, flags, event)
      end
      try("fd -2", BAR, 0, 4, -2)
      try("fd -1, nothing there", BAR, 0, 4, -1)
      try("a closed descriptor", BAR, 0, 4, 999)
      try("no eventfd", BAR, 0, 4, fd)
      for _, region in ipairs { 1, 3, 4, 5, 6, 7, 8, 9, 100 } do
        try(("region %d"):format(region), region << 40, 0, 4, event)
      end
      try("at the end", BAR + MIB, 0, 4, event)
      try("across the end", BAR + MIB - 2, 0, 4, event)
      try("the last byte", BAR + MIB - 1, 0, 1, event)
      try("far past the end", BAR + (1 << 39), 0, 4, event)
      try("a closed descriptor past the end", BAR + MIB, 0, 4, 999)
      try("256 bytes of BAR 0", 256, 0, 4, event)
    end) },

    { "argsz 28", with_event("exporter", function(answer, fd, dev, event)
      dev:store(2, 0x100, 4, 0)
      answer:ioctl("28 bytes", fd, REQUEST, request(BAR + 0x100, 7, 4, event, 28):sub(1, 28))
      signal(event)
      answer("then", dev.load, dev, 2, 0x100, 4)
    end) },

    { "writes", with_event("exporter", function(answer, fd, dev, event)
      for i, size in ipairs { 1, 2, 4, 8 } do
        local place = 0x100 * i
        dev:write(2, place, ("\xee"):rep(16))
        answer:ioctl(("%d bytes"):format(size), fd, REQUEST, request(BAR + place, 0x1122334455667788, size, event))
        answer("before", dev.read, dev, 2, place, 16)
      end
      signal(event, 3)
      answer("the eventfd is taken", sys.poll, event, 1)
      for i = 1, 4 do
        answer("after", dev.read, dev, 2, 0x100 * i, 16)
      end
      answer:ioctl("the same", fd, REQUEST, request(BAR + 0x300, 0x1122334455667788, 4, event))
      answer:ioctl("the same, by a closed descriptor", fd, REQUEST, request(BAR + 0x300, 0x1122334455667788, 4, 999))
      answer:ioctl("other data", fd, REQUEST, request(BAR + 0x300, 0xcafe, 4, event))
      answer:ioctl("unaligned", fd, REQUEST, request(BAR + 0x501, 0xbeef, 2, event))
      dev:store(2, 0x300, 4, 0)
      signal(event)
      answer("unaligned", dev.read, dev, 2, 0x500, 4)
      answer:ioctl("without it", fd, REQUEST, request(BAR + 0x300, 0xcafe, 4, -1))
      answer:ioctl("without it again", fd, REQUEST, request(BAR + 0x300, 0xcafe, 4, -1))
      answer:ioctl("without another size", fd, REQUEST, request(BAR + 0x300, 0x1122334455667788, 2, -1))
      dev:store(2, 0x300, 4, 0)
      signal(event)
      answer("the other is left", dev.load, dev, 2, 0x300, 4)
      answer:ioctl("without the other", fd, REQUEST, request(BAR + 0x300, 0x1122334455667788, 4, -1))
      dev:store(2, 0x300, 4, 0)
      signal(event)
      answer("nothing is left", dev.load, dev, 2, 0x300, 4)
    end) },

    { "when nothing is written", with_event("exporter", function(answer, fd, dev, event, file)
      dev:store(2, 0x100, 4, 0)
      signal(event)
      answer:ioctl("an eventfd that counts", fd, REQUEST, request(BAR + 0x100, 0x11, 4, event))
      answer("it is written", dev.load, dev, 2, 0x100, 4)
      answer("the count stays", sys.poll, event, 1)
      dev:store(7, 4, 2, 0)
      signal(event)
      answer("memory off, the eventfd", sys.poll, event, 1)
      dev:store(7, 4, 2, 2)
      dev:store(2, 0x100, 4, 0)
      answer("memory on", dev.load, dev, 2, 0x100, 4)
      signal(event)
      answer("written to again", dev.load, dev, 2, 0x100, 4)
      file:close()
      answer:ioctl("the same, eventfd closed", fd, REQUEST, request(BAR + 0x100, 0x11, 4, 999))
      answer:ioctl("without it", fd, REQUEST, request(BAR + 0x100, 0x11, 4, -1))
      answer:ioctl("without it again", fd, REQUEST, request(BAR + 0x100, 0x11, 4, -1))
      local other <close> = sys.eventfd()
      answer:ioctl("another", fd, REQUEST, request(BAR + 0x100, 0x22, 4, other:fd()))
      local address = dev:address()
      dev:close()
      signal(other:fd())
      answer("device closed", sys.poll, other:fd(), 1)
      local again <close> = vfio.open(address)
      answer:ioctl("open again, without it", again:fd(), REQUEST, request(BAR + 0x100, 0x22, 4, -1))
    end) },

    { "by an interrupt", with_event("exporter", function(answer, fd, dev, event)
      dev:store(2, 0x100, 4, 0)
      answer:ioctl("a write", fd, REQUEST, request(BAR + 0x100, 0x33, 4, event))
      answer:ioctl("requests", fd, "VFIO_DEVICE_SET_IRQS", string.pack("<I4I4I4I4I4i4", 24, 36, 4, 0, 1, event))
      answer:ioctl("trigger", fd, "VFIO_DEVICE_SET_IRQS", string.pack("<I4I4I4I4I4", 20, 33, 4, 0, 1))
      answer("written", dev.load, dev, 2, 0x100, 4)
      answer("the eventfd", sys.poll, event, 1)
    end) },

    { "too many", with_event("exporter", function(answer, fd, _, event)
      local refused
      for i = 1, 1001 do
        local result = sys.ioctl(fd, REQUEST, request(BAR, i, 4, event))
        if result.name then
          refused = ("%s at %d"):format(result.name, i)
          break
        end
      end
      answer:value("refused", refused)
      answer:ioctl("one less", fd, REQUEST, request(BAR, 1, 4, -1))
      answer:ioctl("one more", fd, REQUEST, request(BAR, 2000, 4, event))
      answer:ioctl("and another", fd, REQUEST, request(BAR, 2001, 4, event))
    end) },

    { "the MSI-X table", with_event("express", function(answer, fd, _, event)
      local function try(name, offset, size)
        answer:ioctl(name, fd, REQUEST, request((1 << 40) + offset, 0, size, event))
      end
      try("its start", 0, 4)
      try("its last byte", 31, 1)
      try("across its end", 30, 4)
      try("behind it", 32, 4)
      try("the pending bits", 0x800, 8)
      try("at the end", 4096, 1)
    end) },
  },
}
