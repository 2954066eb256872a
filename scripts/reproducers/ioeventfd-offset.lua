-- peerlab run --bench sim:lab scripts/reproducers/ioeventfd-offset.lua
-- Also --bench lab; Linux 7.3.4 is right.
--
-- VFIO_DEVICE_IOEVENTFD takes a u64 offset, which vfio_pci_ioeventfd() gets as a signed loff_t. The region is what
-- VFIO_PCI_OFFSET_TO_INDEX makes of it, and the only check before it is used as an index of pdev->resource[] and
-- vdev->barmap[] is `bar > VFIO_PCI_BAR5_REGION_INDEX`, of an int. In 7.3.4 the macro casts to u64 before it shifts by
-- 40 bits, so bit 63 makes an index from 0x800000 on and EINVAL; vfio_pci_core_get_iomap() would refuse it once more.
-- Before the cast the shift was that of a signed number: bit 63 made a negative index, which passes.
--
-- Harmless where that is so: descriptor -1 asks to remove what was never set, so nothing is installed and nothing is
-- ever written; and an index of -1 is read within struct pci_dev and struct vfio_pci_core_device. `--set far=true` asks
-- for other indices too, which such a kernel would read from up to 512 MiB in front of them: only for kernels known to
-- be right.
local sys, expect, reproducing = require "sys", require "expect", require "reproducing"

local BIT_63 = math.mininteger

--- What removing a write by an eventfd that was never set answers; `offset` as 64 bits.
local function remove(f, offset, size)
  local request = string.pack("<I4I4i8I8i4I4", 32, size, offset, 0, -1, 0)
  local answer = sys.ioctl(f.dev:fd(), "VFIO_DEVICE_IOEVENTFD", request)
  return answer.name or tostring(answer.result)
end

return {
  name = "ioeventfd-offset",
  about = "VFIO_DEVICE_IOEVENTFD with an offset of bit 63: no region of the device, nor a negative one",
  tags = { "vfio" },
  concerns = "Linux 4.17 and later, until VFIO_PCI_OFFSET_TO_INDEX casts its argument to u64; 7.3.4 does",
  expected = "EINVAL, whatever the other bits are",
  seen = "ENODEV for a request to remove: the region was -1, and what is in front of the arrays was taken for a BAR. "
    .. "With an eventfd, a write by it would go to a kernel address.",
  effects = { "open", "raw" },
  options = reproducing.exporter_options {
    far = { type = "boolean", default = false, about = "also indices that a wrong kernel reads far away" },
  },
  needs = { "vfio" },
  cases = {
    { "the region itself", reproducing.case(function(f, opt)
      expect.equal(remove(f, opt.region << 40, 4), "ENODEV", "nothing was set there")
    end) },
    { "region -1", reproducing.case(function(f, _, t)
      -- The last bytes of it, as what a wrong kernel takes for the length of the BAR is any number.
      for _, place in ipairs { 0, 1 << 20, (1 << 40) - 8 } do
        for _, size in ipairs { 1, 4, 8 } do
          local found = remove(f, -1 << 40 | place, size)
          t:log(("region -1, offset 0x%x, %d bytes: %s"):format(place, size, found))
          expect.equal(found, "EINVAL", "answer; ENODEV means that the index was taken for a region's")
        end
      end
    end) },
    { "a region's offset with bit 63", reproducing.case(function(f, opt, t)
      if not opt.far then
        t:skip("a wrong kernel would read far in front of its structures; --set far=true where it is known to be right")
      end
      for bits = 40, 62 do
        expect.equal(remove(f, BIT_63 | 1 << bits, 4), "EINVAL", ("bits 63 and %d"):format(bits))
      end
      for region = 0, 8 do
        expect.equal(remove(f, BIT_63 | region << 40, 4), "EINVAL", ("bit 63 and region %d"):format(region))
      end
    end) },
    { "offsets without bit 63, of no region", reproducing.case(function(f)
      for bits = 43, 62 do
        expect.equal(remove(f, 1 << bits, 4), "EINVAL", ("bit %d"):format(bits))
      end
    end) },
  },
}
