-- Files of /sys and /proc: those that the model has, one that no kernel has, and one that it does not model.
local sys, vfio = require "sys", require "vfio"

local function show(path)
  local ok, file = pcall(sys.open, path, 0) ---@type boolean, any
  if not ok then
    print(path, file.name)
    return
  end
  local result = sys.read(file:fd(), 400)
  print(path, result.name or result.bytes:gsub("\n$", ""):gsub("\n", " | "):sub(1, 120))
  file:close()
end

local function of(address, names)
  print(address)
  for _, name in ipairs(names) do
    local ok, file = pcall(sys.open, "/sys/bus/pci/devices/" .. address .. "/" .. name, 0) ---@type boolean, any
    local value
    if not ok then
      value = file.name
    else
      local result = sys.read(file:fd(), 400)
      value = result.name or result.bytes:gsub("\n$", "")
      file:close()
    end
    print("  " .. name .. " " .. value:gsub("\n", " | "):sub(1, 120))
  end
end

local NAMES = {
  "subsystem_vendor", "subsystem_device", "revision", "power_state", "d3cold_allowed", "enable", "reset_method", "reset",
  "dma_mask_bits", "consistent_dma_mask_bits", "msi_bus", "broken_parity_status", "local_cpus", "local_cpulist",
  "ari_enabled", "modalias", "uevent", "resource2", "current_link_speed", "max_link_width", "sriov_numvfs", "p2pmem/size",
}
for _, address in ipairs { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0" } do
  of(address, NAMES)
end
do
  local _ <close> = vfio.open("0000:03:00.0")
  print "open"
  of("0000:03:00.0", { "power_state", "enable" })
end
for _, path in ipairs {
  "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "/sys/module/vfio_pci/parameters/disable_idle_d3",
  "/sys/class/iommu/dmar0/intel-iommu/cap", "/sys/class/iommu/dmar0/intel-iommu/domains_supported",
  "/sys/devices/system/cpu/possible", "/sys/class/infiniband/rxe0/node_type",
  "/sys/class/infiniband/rxe0/ports/1/link_layer", "/sys/class/infiniband/rxe0/device",
  "/sys/bus/pci/devices/0000:7f:00.0/class", "/proc/self/fdinfo/999", "/proc/meminfo",
} do
  show(path)
end
for _, mode in ipairs { 1, 2 } do
  local ok, refusal = pcall(sys.open, "/sys/bus/pci/devices/0000:01:00.0/vendor", mode) ---@type boolean, any
  print("vendor for writing", ok or refusal.name)
end
