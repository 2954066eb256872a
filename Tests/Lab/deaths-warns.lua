-- What a kernel says is written to its log here by hand: nothing else of it is needed to see who hears it.
local expect = require "expect"
local sys = require "sys"

local function log(...)
  local file <close> = sys.open("/dev/kmsg", 1)
  for _, line in ipairs { ... } do sys.write(file:fd(), "<4>" .. line .. "\n") end
end

local function taint(flags)
  local file <close> = sys.open("/proc/sys/kernel/tainted", 1)
  sys.write(file:fd(), tostring(flags))
end

local function warning()
  log(
    "------------[ cut here ]------------", "refcount_t: underflow; use-after-free.",
    "WARNING: CPU: 0 PID: 77 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110", "---[ end trace 0000000000000000 ]---")
end

return {
  name = "deaths-warns",
  about = "a kernel that complains while every answer is right",
  effects = { "raw" },
  cases = {
    ["a warning nobody declared"] = function()
      warning()
      taint(512)
    end,
    ["a warning that was declared"] = function(t)
      t:expect_kernel_log "^refcount_t: underflow"
      warning()
      t:log "declared"
    end,
    ["a fault of an IOMMU"] = function()
      log "DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x1000 [fault reason 0x06] PTE Read access is not set"
    end,
    ["a declaration of nothing"] = function(t) t:expect_kernel_log "never said" end,
    ["its own failure comes first"] = function()
      log "BUG: KASAN: slab-use-after-free in vfio_pci_core_ioctl+0x1/0x2"
      expect.equal(1, 2)
    end,
    ["the next case"] = function() end,
  },
}
