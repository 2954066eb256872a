-- What sysfs and procfs tell of functions, their groups, VFIO's modules and the IOMMU, and a reset through sysfs.
local sys, vfio, iommufd, memory = require "sys", require "vfio", require "iommufd", require "memory"
local edu, pattern, answers = require "engines.edu", require "pattern", require "answers"

local READ, WRITE, READ_WRITE = 0, 1, 2

--- Opens a file, reads all of it and, with `modes`, opens it in other ways.
local function show(answer, name, path, modes)
  local file <close> = answer("open " .. name, sys.open, path, READ)
  if file then
    answer("read " .. name, sys.read, file:fd(), 4096)
  end
  for _, mode in ipairs(modes or {}) do
    local _ <close> = answer("open " .. name .. (mode == WRITE and " to write" or " for both"), sys.open, path, mode)
  end
end

local function link(answer, name, path)
  local ok, target = pcall(sys.readlink, path) ---@type boolean, any
  answer:value(name, ok and target:match "[^/]*$" or target.name)
end

-- Not here: resource and irq, which the machine's firmware decides.
local NAMES = {
  "vendor", "device", "subsystem_vendor", "subsystem_device", "class", "revision", "numa_node", "power_state",
  "d3cold_allowed", "enable", "reset_method", "reset", "dma_mask_bits", "consistent_dma_mask_bits", "msi_bus",
  "broken_parity_status", "local_cpus", "local_cpulist", "ari_enabled", "modalias", "uevent", "resource0", "resource1",
  "resource2", "resource2_wc", "resource4", "resource4_wc", "max_link_speed", "max_link_width", "current_link_speed",
  "current_link_width", "sriov_numvfs", "p2pmem/size", "boot_vga", "label", "vpd", "tph", "reset_subordinate",
  "nothing", "vendor/x",
}

local cases = {}

for _, which in ipairs { "exporter", "engine", "express" } do
  cases[#cases + 1] = { which, function(t, opt)
    local answer, path = answers.new(t), "/sys/bus/pci/devices/" .. opt[which] .. "/"
    for _, name in ipairs(NAMES) do
      show(answer, name, path .. name, { WRITE, READ_WRITE })
    end
    for _, name in ipairs { "driver", "subsystem", "iommu_group", "vendor", "nothing" } do
      link(answer, name, path .. name)
    end
    local _ <close> = vfio.open(opt[which])
    show(answer, "power_state while it is open", path .. "power_state")
    show(answer, "enable while it is open", path .. "enable")
  end }
end

cases[#cases + 1] = { "groups, modules, IOMMU", function(t, opt)
  local answer = answers.new(t)
  local group = sys.readlink("/sys/bus/pci/devices/" .. opt.exporter .. "/iommu_group"):match "[^/]*$"
  for _, name in ipairs { "type", "reserved_regions", "name", "nothing" } do
    show(answer, name, "/sys/kernel/iommu_groups/" .. group .. "/" .. name, { WRITE })
  end
  for _, name in ipairs {
    "vfio/parameters/enable_unsafe_noiommu_mode", "vfio_pci/parameters/disable_idle_d3", "vfio_pci/parameters/nointxmask",
    "vfio_pci/parameters/disable_denylist", "vfio_iommu_type1/parameters/allow_unsafe_interrupts",
    "vfio_iommu_type1/parameters/disable_hugepages", "vfio_iommu_type1/parameters/dma_entry_limit",
  } do
    show(answer, name, "/sys/module/" .. name, { WRITE })
  end
  for _, name in ipairs { "cap", "ecap", "domains_supported" } do
    show(answer, name, "/sys/class/iommu/dmar0/intel-iommu/" .. name, { WRITE })
  end
  for _, name in ipairs { "online", "possible", "present" } do
    show(answer, name, "/sys/devices/system/cpu/" .. name, { WRITE })
  end
  show(answer, "ostype", "/proc/sys/kernel/ostype", { WRITE })
  for _, name in ipairs { "node_type", "ports/1/state", "ports/1/phys_state", "ports/1/link_layer", "ports/1/gid_attrs/types/0" } do
    show(answer, name, "/sys/class/infiniband/rxe0/" .. name, { WRITE })
  end
  show(answer, "no function", "/sys/bus/pci/devices/0000:7f:00.0/class")
  show(answer, "no driver", "/sys/bus/pci/drivers/nothing/bind")
end }

cases[#cases + 1] = { "configuration space", function(t, opt)
  local answer = answers.new(t)
  local dev <close> = vfio.open(opt.exporter)
  local path = "/sys/bus/pci/devices/" .. opt.exporter .. "/config"
  local file <close> = answer("open", sys.open, path, READ_WRITE)
  answer("read", sys.read, file:fd(), 2, 4)
  answer("read over the end", sys.read, file:fd(), 16, 250)
  answer("read behind the end", sys.read, file:fd(), 16, 256)
  answer("write", sys.write, file:fd(), ("<I2"):pack(0x0002), 4)
  answer("read what was written", sys.read, file:fd(), 2, 4)
  answer:value("VFIO shows the hardware's", dev:load(vfio.CONFIG, 4, 2))
  answer("write what is read-only", sys.write, file:fd(), "\0\0", 0)
  answer("read it", sys.read, file:fd(), 2, 0)
  answer("write over the end", sys.write, file:fd(), ("\0"):rep(16), 250)
end }

cases[#cases + 1] = { "reset while a dma-buf is mapped", function(t, opt)
  local answer = answers.new(t)
  local dev <close> = vfio.open(opt.exporter, { via = "cdev" })
  local context <close> = iommufd.open()
  local engine <close> = vfio.open(opt.engine, { iommufd = context })
  local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "64K" } } }
  local ioas <close> = context:alloc_ioas()
  engine:attach(ioas)
  local host <close> = memory.alloc(4096)
  ioas:map { memory = host, iova = 0x200000 }
  ioas:map_file { dmabuf = buf, length = "64K", iova = 0x100000 }
  local reset <close> = sys.open("/sys/bus/pci/devices/" .. opt.exporter .. "/reset", WRITE)
  for _, text in ipairs { "0\n", "2", "-1", "", "one", "1 1", "1\n\n", "+1", "01", "0x1", "1\n", "1" } do
    answer("write " .. answers.show(text), sys.write, reset:fd(), text)
  end
  answer:value("memory decode", dev:load(vfio.CONFIG, 4, 2) & 2)
  local sent = pattern.bytes(512, 3)
  answer("write to the BAR", dev.write, dev, 2, 0, sent)
  edu.start(engine):copy(0x100000, 0x200000, 512)
  answer:value("the engine reads through the old mapping", host:read(0, 512) == sent)
  answer("the dma-buf maps again", ioas.map_file, ioas, { dmabuf = buf, length = 4096, iova = 0x300000 })
  engine:detach()
end }

return {
  name = "conformance-sysfs",
  about = "what sysfs tells of functions, and a reset through it",
  options = {
    exporter = { type = "pci", default = "auto", id = "1af4:1110", about = "a device with memory" },
    engine = { type = "pci", default = "auto", id = "1234:11e8", about = "a DMA engine" },
    express = { type = "pci", default = "auto", id = "1af4:1044", about = "a PCI Express function" },
  },
  cases = cases,
}
