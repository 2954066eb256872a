--- A server with a ConnectX-7 and an NVMe drive with a controller memory buffer below one PCIe switch, the drive given to
--- VFIO, and a host bridge that the kernel does not list. `change(bench, drive, nic)` makes it another one.
return function(name, change)
  local drive = {
    address = "0000:12:00.0", id = "144d:a826", class = 0x010802, group = 20, node = 0, parent = "0000:11:00.0",
    driver = "vfio-pci", native_driver = "nvme", completer = "extended",
    bars = { { index = 0, size = "32K", bits = 64 }, { index = 4, size = "64M", bits = 64, prefetchable = true } },
  }
  local nic = {
    address = "0000:13:00.0", id = "15b3:1021", class = 0x020000, group = 21, node = 0, parent = "0000:11:01.0",
    kind = "nic", driver = "mlx5_core", tph_requester = true,
    bars = { { index = 0, size = "32M", bits = 64, prefetchable = true } },
    rdma = { name = "mlx5_0", driver = "mlx5", requester = "extended", steering_table = 64 },
  }
  local bench = {
    name = name,
    kernel = { release = "7.3.4", tph = "v11", tph_feature = 14, command_line = "ro quiet intel_iommu=on" },
    iommu = { aperture_bits = 48, cap = 0x00d2008c22260206, ecap = 0xf00f4e },
    host_bridges = { { name = "pci0000:00", peer_to_peer = "none" } },
    ports = {
      { address = "0000:00:01.0", id = "8086:352a" },
      { address = "0000:10:00.0", id = "1000:c030", parent = "0000:00:01.0" },
      { address = "0000:11:00.0", id = "1000:c030", parent = "0000:10:00.0" },
      { address = "0000:11:01.0", id = "1000:c030", parent = "0000:10:00.0" },
    },
    devices = { drive, nic },
  }
  if change then
    change(bench, drive, nic)
  end
  return bench
end
