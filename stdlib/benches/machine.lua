--- The machine that all benches here share: an exporter (QEMU's ivshmem-plain), a DMA engine (QEMU's edu) and a
--- ConnectX, each in its own IOMMU group. Exporter and engine are those of the lab bench. `changes` is optional; its
--- keys replace those of the NIC (`nic`), of its RDMA device (`rdma`), the devices' parents (`parents`, in the devices'
--- order), and, by their own names, keys of the bench.
return function(name, kernel, changes)
  local bench = {
    name = name,
    kernel = kernel,
    iommu = { aperture_bits = 48 },
    devices = {
      {
        address = "0000:01:00.0", id = "1af4:1110", class = 0x050000, group = 10, kind = "memory",
        completer = "extended", tph_requester = true,
        bars = { { index = 0, size = 256 }, { index = 2, size = "1M", bits = 64, prefetchable = true } },
      },
      {
        address = "0000:02:00.0", id = "1234:11e8", class = 0x00ff00, group = 11, kind = "edu",
        bars = { { index = 0, size = "1M", kind = "registers" } },
      },
      {
        address = "0000:03:00.0", id = "15b3:1021", class = 0x020000, group = 12, kind = "nic", driver = "mlx5_core",
        tph_requester = true,
        bars = { { index = 0, size = "32M", bits = 64, prefetchable = true } },
        rdma = { name = "mlx5_0", driver = "mlx5", odp = true, requester = "tph" },
      },
    },
  }
  local nic = bench.devices[3]
  local places = { nic = nic, rdma = nic.rdma }
  for key, value in pairs(changes or {}) do
    if key == "parents" then
      for i, parent in ipairs(value) do
        bench.devices[i].parent = parent
      end
    elseif places[key] then
      for field, setting in pairs(value) do
        places[key][field] = setting
      end
    else
      bench[key] = value
    end
  end
  return bench
end
