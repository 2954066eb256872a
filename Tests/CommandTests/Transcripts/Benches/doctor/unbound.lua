-- The drive still has its own driver; another one has the root file system.
return require "doctor_machine"("unbound", function(bench, drive)
  drive.driver = "nvme"
  table.insert(bench.devices, {
    address = "0000:14:00.0", id = "144d:a826", class = 0x010802, group = 22, driver = "nvme",
    bars = { { index = 0, size = "32K", bits = 64 } },
  })
  bench.files = {
    ["/proc/self/mountinfo"] = "1 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n",
    ["/sys/devices/pci0000:00/0000:14:00.0/nvme/nvme0/nvme0n1/nvme0n1p2/dev"] = "259:2\n",
  }
  bench.symlinks = {
    ["/sys/class/block/nvme0n1p2"] = "../../devices/pci0000:00/0000:14:00.0/nvme/nvme0/nvme0n1/nvme0n1p2",
  }
end)
