--- The lab bench's machine as the simulated bench knows it: Linux 7.3.4, rxe instead of a ConnectX. QEMU's
--- ivshmem-plain and edu are conventional PCI functions, its virtio-rng is a PCI Express one; IOMMU groups are numbered and
--- the IOMMU's registers read as in the guest. `flags` are those of `peerlab run --bench lab`: `importer` (true), `exporter`
--- (peerlab's own: what it is as a completer, "none", "tph" or "extended"), `tph` ("v2", "v6" and so on) and its number
--- `tph_feature`, `machine` ("bridge", "no-route", "below-switch"), and `nic` (true): the emulated ConnectX.
local express = {
  address = "0000:03:00.0", id = "1af4:1044", class = 0x00ff00, group = 9, kind = "memory",
  native_driver = "virtio-pci", config_keeps_writes = true,
  -- The MSI-X table is in the first. Of virtio's registers, which are in the second, only some of what they show is here.
  bars = {
    { index = 1, size = "4K" },
    { index = 4, size = "16K", bits = 64, prefetchable = true, contents = { { at = 0x10, bytes = "ffff" } } },
  },
  config = {
    { at = 0x04, bytes = "0301 1000 01" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x34, bytes = "dc" },
    { at = 0x3c, bytes = "0b 01" },
    -- PCI Express: an endpoint with function-level reset
    { at = 0x40, bytes = "1000 0200 0080 0010 0000 0000 1104 0000 0000 1100 00000000 00000000 00000000 00000000" },
    { at = 0x60, bytes = "00000000 0000 3000 00000000 00000000 00000000 00000000 00000000" },
    { at = 0x7c, bytes = "0140 0300 0000 0000" }, -- power management: D0 and D3hot, state is not kept in D3hot
    { at = 0x84, bytes = "097c 1001 04000000 00000000 00100000" }, -- virtio's registers, all vendor specific
    { at = 0x94, bytes = "0984 1003 04000000 00100000 00100000" },
    { at = 0xa4, bytes = "0994 1004 04000000 00200000 00100000" },
    { at = 0xb4, bytes = "09a4 1402 04000000 00300000 00100000 04000000" },
    { at = 0xc8, bytes = "09b4 1405 00000000 00000000 00000000 00000000" },
    { at = 0xdc, bytes = "11c8 0100 0100 0000 0108 0000" }, -- MSI-X: two vectors, table at 0, pending bits at 0x800
    { at = 0x100, bytes = "0100 8214 00000000 00000000 3020 4600 00000000 00e0 0000 a000 0000" }, -- error reporting
    { at = 0x148, bytes = "0f00 0100 2000 0000" }, -- address translation services
  },
  config_writable = {
    { at = 0x69, bytes = "80" }, { at = 0x74, bytes = "00000000 00000000" },
    { at = 0xcc, bytes = "ff" }, { at = 0xd0, bytes = "ffffffff ffffffff ffffffff" },
    { at = 0x10c, bytes = "30f0 ff03" }, { at = 0x114, bytes = "c1f1 0000 4001" },
    { at = 0x12c, bytes = ("00000000 "):rep(7) },
  },
}

--- Makes QEMU's exporter the one that peerlab serves, a PCI Express endpoint.
local function serve(exporter, completer)
  exporter.config_size, exporter.completer = 4096, completer
  exporter.bars[1] = { index = 0, size = "16K" }
  exporter.config = {
    { at = 0x04, bytes = "0201 1000 00" }, { at = 0x2c, bytes = "f41a 1011" }, { at = 0x34, bytes = "40" },
    { at = 0x40, bytes = "0148 0300 0800 0000" }, -- power management: D0 and D3hot, state is kept
    -- PCI Express: an endpoint with function-level reset
    { at = 0x48, bytes = "1084 0200 e28f 0010 1029 0000 0401 4000 0000 0411 00000000 00000000 00000000 00000000" },
    { at = 0x6c, bytes = ({ none = "0000", tph = "0010", extended = "0030" })[completer] .. "0000" },
    { at = 0x70, bytes = "00000000 1e000000 04000000 00000000" },
    { at = 0x84, bytes = "1100 0000 0020 0000 0030 0000" }, -- MSI-X: one vector, table at 0x2000, pending bits at 0x3000
    { at = 0x100, bytes = "00000000 00000000" },
  }
  exporter.config_writable = { { at = 0x04, bytes = "4605" }, { at = 0x50, bytes = "1f0d" }, { at = 0x70, bytes = "ffff" } }
end

--- virtio-rng as QEMU 11 has it: extended tags, internal errors masked at first.
local function newer(device)
  local copy = {}
  for key, value in pairs(device) do
    copy[key] = value
  end
  copy.config, copy.config_writable = { table.unpack(device.config) }, { table.unpack(device.config_writable) }
  table.insert(copy.config, { at = 0x44, bytes = "20" })
  table.insert(copy.config, { at = 0x108, bytes = "0000 4002" })
  table.insert(copy.config_writable, { at = 0x108, bytes = "30f0 ff03" })
  return copy
end

--- The emulated ConnectX: its InfiniBand port has LID 1, its table of steering tags 64 entries.
local connectx = {
  address = "0000:04:00.0", id = "15b3:101d", class = 0x020700, group = 11, kind = "nic", driver = "mlx5_core",
  tph_requester = true, bars = { { index = 0, size = "32M", bits = 64, prefetchable = true } },
  rdma = {
    name = "mlx5_0", driver = "mlx5", odp = true, requester = "extended", steering_table = 64, own_memory = "256K",
    data_direct = false, firmware = "22.35.1010", subnet = { lid = 1, guid = 0x0c42a10300aabb01 },
    limits = {
      regions = 1 << 20, domains = 1 << 16, queue_pairs = 1 << 18, completion_queues = 1 << 18, shared_queues = 1 << 16,
    },
  },
  config = {
    { at = 0x04, bytes = "0605 1000" }, { at = 0x2c, bytes = "b315 1600" }, { at = 0x34, bytes = "40" },
    { at = 0x3c, bytes = "00 00" },
    -- PCI Express: an endpoint with function-level reset
    { at = 0x40, bytes = "107c 0200 e28f 0010 1029 0000 0401 4000 0000 0411 00000000 00000000 00000000 00000000" },
    { at = 0x60, bytes = "00000000 00000000 00000000 1e000000 04000000 00000000" },
    { at = 0x7c, bytes = "1188 0f80 00200000 00300000" }, -- MSI-X: 16 vectors, enabled
    { at = 0x88, bytes = "0100 0300 0800 0000" }, -- power management
    { at = 0x100, bytes = "1700 0100 0503 3f00" }, -- TPH requester: a table of 64 tags in the capability
  },
}

return function(name, flags)
  local bench = require "benches.machine"(name, { release = "7.3.4", tph = flags.tph, tph_feature = flags.tph_feature })
  bench.iommu = { aperture_bits = 39, forces_snooping = false, cap = 0x00d2008c22260206, ecap = 0xf00f4e }
  -- The port above the ConnectX takes a number before theirs.
  local first = flags.nic and 8 or 7
  local exporter, engine, nic = table.unpack(bench.devices)
  -- Devices of another process need a newer QEMU, whose IOMMU has 48 bits and is in its caching mode, and whose virtio-rng
  -- tells of more.
  local is_newer = flags.exporter or flags.nic
  if is_newer then
    bench.iommu.aperture_bits, bench.iommu.cap = 48, 0x80d2008c222f0686
  end
  local rng = is_newer and newer(express) or express
  rng.group = first + 2

  exporter.group, exporter.completer, exporter.tph_requester, exporter.config_size = first, nil, nil, 256
  exporter.config =
    { { at = 0x04, bytes = "0301 0000 01" }, { at = 0x2c, bytes = "f41a 0011" }, { at = 0x3d, bytes = "00" } }
  if flags.exporter then
    serve(exporter, flags.exporter)
  end
  exporter.driver = flags.tph and not flags.nic and "vfio_tph" or "vfio-pci"

  engine.group, engine.config_size = first + 1, 256
  engine.config = {
    { at = 0x04, bytes = flags.importer and "0701 1000 10" or "0301 1000 10" },
    { at = 0x2c, bytes = "f41a 0011" }, { at = 0x34, bytes = "40" }, { at = 0x3c, bytes = "0b 01" },
    { at = 0x40, bytes = "0500 8000" }, -- MSI: one vector, 64-bit
  }
  if flags.importer then
    engine.driver, engine.dma_mask = "edu_importer", -1
  end

  exporter.config_keeps_writes, engine.config_keeps_writes = not flags.exporter, true

  nic.address, nic.driver, nic.parent = "0000:00:04.0", "virtio-pci", "pci0000:00"
  nic.rdma = { name = "rxe0", driver = "rxe" }

  local machine = flags.machine or (flags.importer or flags.nic) and "bridge" or "no-route"
  bench.host_bridges = { { name = "pci0000:00", peer_to_peer = "none" } }
  bench.platform = { zen = machine == "bridge", cpus = 2 }
  if machine == "below-switch" then
    bench.ports = {
      { address = "0000:00:05.0" },
      { address = "0000:01:00.0", parent = "0000:00:05.0" }, -- the switch's upstream port
      { address = "0000:02:00.0", parent = "0000:01:00.0" },
      { address = "0000:02:01.0", parent = "0000:01:00.0" },
    }
    exporter.address, exporter.parent = "0000:03:00.0", "0000:02:00.0"
    engine.address, engine.parent = "0000:04:00.0", "0000:02:01.0"
  else
    table.insert(bench.devices, 3, rng)
  end
  if flags.nic then
    table.insert(bench.devices, #bench.devices, connectx)
    -- What tph_completer and the ACPI table of scripts/lab/steering-tags.asl give.
    bench.platform.cpu_tags, bench.platform.persistent_tags = { 0x1200, 0x1201 }, { 0x2400, 0x2401 }
  end
  return bench
end
