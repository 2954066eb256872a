-- The lab's exporter of `--lab-exporter` as the guest's kernel and VFIO have it: its capabilities, a function-level reset, power
-- states, and interrupts that it raises itself. Options say what it was made like.
local vfio, sys, expect = require "vfio", require "sys", require "expect"

local PAGE = 4096
local POWER, EXPRESS, MSIX = 0x40, 0x48, 0x84
local MSIX_IRQ, EVENT, TRIGGER = 2, 4, 32

--- A case with the open device.
local function case(body)
  return function(t, opt)
    local dev <close> = vfio.open(opt.exporter)
    body(dev, opt, t)
  end
end

--- How often the function was reset since QEMU came.
local function resets(dev)
  return dev:load(0, 4, 4)
end

return {
  name = "lab-exporter",
  about = "an exporter that peerlab serves to QEMU, as the guest's kernel has it",
  options = {
    exporter = { type = "pci", default = "auto", id = "1af4:1110", about = "the exporter" },
    completer = { type = "enum", values = { "none", "tph", "extended" }, default = "none", about = "what it was made like" },
    size = { type = "size", default = "1M", min = PAGE, about = "bytes of its memory" },
    vectors = { type = "integer", default = 1, min = 1, max = 64, about = "its MSI-X vectors" },
    keeps = { type = "boolean", default = true, about = "whether it keeps its state in D3hot" },
  },
  needs = { "vfio.dma_buf" },
  effects = { "open", "region_write", "config_write", "reset", "raw" },
  cases = {
    { "what the kernel sees", case(function(dev, opt)
      expect.equal(dev:load(7, EXPRESS, 1), 0x10, "PCI Express capability")
      expect.equal(dev:load(7, EXPRESS + 2, 2) >> 4 & 0xf, 0, "an endpoint")
      expect.equal(dev:load(7, EXPRESS + 4, 4) >> 28 & 1, 1, "function-level reset")
      expect.equal(dev:load(7, EXPRESS + 0x24, 4) >> 12 & 3, ({ none = 0, tph = 1, extended = 3 })[opt.completer],
        "TPH completer supported")
      expect.equal(dev:load(7, POWER, 1), 1, "power management")
      expect.equal(dev:load(7, POWER + 4, 2) >> 3 & 1, opt.keeps and 1 or 0, "No_Soft_Reset")
      expect.equal(dev:load(7, MSIX, 1), 0x11, "MSI-X")
      expect.equal(dev:load(7, MSIX + 2, 2) & 0x7ff, opt.vectors - 1, "vectors")
      expect.equal(dev:region_info(2).size, opt.size, "bytes of memory")
    end) },

    { "memory to its end, and a dma-buf of it", case(function(dev, opt)
      local last = opt.size - PAGE
      local map <close> = dev:mmap(2, { offset = last, length = PAGE })
      map:write(0, "the last page")
      expect.equal(dev:read(2, last, 13), "the last page", "through VFIO")
      local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = last, length = PAGE } } }
      expect.equal(buf:length(), PAGE, "dma-buf")
    end) },

    { "a reset is one, and memory survives it", case(function(dev)
      dev:write(2, 0, "kept")
      local before = resets(dev)
      dev:reset()
      expect.equal(resets(dev) > before, true, "the function was reset")
      expect.equal(dev:read(2, 0, 4), "kept", "memory")
    end) },

    { "D3hot and back", case(function(dev, opt)
      dev:write(2, 0, "kept")
      local before = resets(dev)
      dev:store(7, POWER + 4, 2, 3)
      expect.equal(dev:load(7, POWER + 4, 2) & 3, 3, "power state")
      expect.errno("EIO", dev.read, dev, 2, 0, 4)
      dev:store(7, POWER + 4, 2, 0)
      expect.equal(dev:load(7, POWER + 4, 2) & 3, 0, "power state")
      expect.equal(dev:read(2, 0, 4), "kept", "memory")
      expect.equal(resets(dev) > before, not opt.keeps, "a reset by D0")
    end) },

    { "interrupts", case(function(dev, opt)
      local event <close> = sys.eventfd()
      for _, vector in ipairs { 0, opt.vectors - 1 } do
        local request = string.pack("<I4I4I4I4I4i4", 24, EVENT | TRIGGER, MSIX_IRQ, vector, 1, event:fd())
        expect.equal(sys.ioctl(dev:fd(), "VFIO_DEVICE_SET_IRQS", request).result, 0, "listening")
        dev:store(7, 4, 2, dev:load(7, 4, 2) | 4) -- bus mastering, as interrupts are writes
        dev:store(0, 0, 4, vector)
        -- It always comes; only one that is lost is given up.
        local give_up = sys.now() + 120 * 1000000000
        while sys.poll(event:fd(), 1).result ~= 1 and sys.now() < give_up do
          sys.sleep(1)
        end
        expect.equal(sys.poll(event:fd(), 1).result, 1, "the event of vector " .. vector)
        expect.equal(string.unpack("<I8", sys.read(event:fd(), 8).bytes), 1, "how often")
        request = string.pack("<I4I4I4I4I4", 20, 1 | TRIGGER, MSIX_IRQ, 0, 0)
        expect.equal(sys.ioctl(dev:fd(), "VFIO_DEVICE_SET_IRQS", request).result, 0, "no longer")
      end
    end) },
  },
}
