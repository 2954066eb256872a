-- The lab bench's machine as the simulated bench knows it: Linux 7.3.4 without TPH, rxe instead of a ConnectX. QEMU's
-- ivshmem-plain and edu are conventional PCI functions; IOMMU groups are numbered as the guest's kernel does.
local bench = require "benches.machine"("lab", { release = "7.3.4" })
bench.iommu = { aperture_bits = 39, forces_snooping = false }
local exporter, engine, nic = table.unpack(bench.devices)

exporter.group, exporter.completer, exporter.tph_requester, exporter.config_size = 8, nil, nil, 256
exporter.config = { { at = 0x04, bytes = "0301 0000 01" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x3d, bytes = "00" } }

engine.group, engine.config_size = 9, 256
engine.config = {
  { at = 0x04, bytes = "0301 1000 10" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x34, bytes = "40" },
  { at = 0x3c, bytes = "0b 01" },
  { at = 0x40, bytes = "0500 8000" }, -- MSI: one vector, 64-bit
}

for _, device in ipairs { exporter, engine } do
  device.config_keeps_writes = true
end

nic.driver = "virtio-pci"
nic.rdma = { name = "rxe0", driver = "rxe" }
return bench
