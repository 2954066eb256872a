-- An exporter with a BAR of 128 GiB and a neighbour with one of 8 TiB, a DMA engine and a NIC.
return {
  name = "large",
  kernel = { release = "7.3.4" },
  iommu = { aperture_bits = 48 },
  devices = {
    {
      address = "0000:01:00.0", id = "1af4:1110", class = 0x050000, group = 10,
      bars = { { index = 2, size = "128G", bits = 64, prefetchable = true } },
    },
    {
      address = "0000:02:00.0", id = "1234:11e8", class = 0x00ff00, group = 11, kind = "edu",
      bars = { { index = 0, size = "1M", kind = "registers" } },
    },
    {
      address = "0000:03:00.0", id = "15b3:1021", class = 0x020000, group = 12, kind = "nic", driver = "mlx5_core",
      bars = { { index = 0, size = "32M", bits = 64, prefetchable = true } },
      rdma = { name = "mlx5_0", driver = "mlx5", odp = true },
    },
    {
      address = "0000:04:00.0", id = "1af4:1110", class = 0x050000, group = 13,
      bars = { { index = 2, size = "8T", bits = 64, prefetchable = true } },
    },
  },
}
