--- The lab bench's machine as the simulated bench knows it: Linux 7.3.4, rxe instead of a ConnectX. QEMU's
--- ivshmem-plain and edu are conventional PCI functions; IOMMU groups are numbered as the guest's kernel does. `flags`
--- are those of `peerlab run --bench lab`: `importer` (true), `tph` ("v2" or "v6") and its number `tph_feature`, and
--- `machine` ("bridge", "no-route", "below-switch").
return function(name, flags)
  local bench = require "benches.machine"(name, { release = "7.3.4", tph = flags.tph, tph_feature = flags.tph_feature })
  bench.iommu = { aperture_bits = 39, forces_snooping = false }
  local exporter, engine, nic = table.unpack(bench.devices)

  exporter.group, exporter.completer, exporter.tph_requester, exporter.config_size = 8, nil, nil, 256
  exporter.config =
    { { at = 0x04, bytes = "0301 0000 01" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x3d, bytes = "00" } }
  exporter.driver = flags.tph and "vfio_tph" or "vfio-pci"

  engine.group, engine.config_size = 9, 256
  engine.config = {
    { at = 0x04, bytes = flags.importer and "0701 1000 10" or "0301 1000 10" },
    { at = 0x2c, bytes = "f41a 0011" }, { at = 0x34, bytes = "40" }, { at = 0x3c, bytes = "0b 01" },
    { at = 0x40, bytes = "0500 8000" }, -- MSI: one vector, 64-bit
  }
  if flags.importer then
    engine.driver, engine.dma_mask = "edu_importer", -1
  end

  for _, device in ipairs { exporter, engine } do
    device.config_keeps_writes = true
  end

  nic.driver = "virtio-pci"
  nic.rdma = { name = "rxe0", driver = "rxe" }

  local machine = flags.machine or flags.importer and "bridge" or "no-route"
  bench.host_bridges = { { name = "pci0000:00", peer_to_peer = "none" } }
  bench.platform = { zen = machine == "bridge" }
  if machine == "below-switch" then
    bench.ports = {
      { address = "0000:00:05.0" },
      { address = "0000:01:00.0", parent = "0000:00:05.0" }, -- the switch's upstream port
      { address = "0000:02:00.0", parent = "0000:01:00.0" },
      { address = "0000:02:01.0", parent = "0000:01:00.0" },
    }
    nic.address = "0000:00:04.0"
    exporter.address, exporter.parent = "0000:03:00.0", "0000:02:00.0"
    engine.address, engine.parent = "0000:04:00.0", "0000:02:01.0"
  end
  return bench
end
