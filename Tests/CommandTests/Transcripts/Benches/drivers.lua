-- Three functions: without a driver, with one, and with the root file system.
local function device(address, group, driver)
  return {
    address = address, id = "1af4:1110", class = 0x050000, group = group, driver = driver,
    bars = { { index = 2, size = "1M", bits = 64, prefetchable = true } },
  }
end
return {
  name = "drivers",
  devices = {
    device("0000:01:00.0", 1, "none"), device("0000:02:00.0", 2, "ivshmem"), device("0000:03:00.0", 3, "nvme"),
    device("0000:04:00.0", 3, "snd"),
  },
  files = {
    ["/proc/self/mountinfo"] = "1 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n",
    ["/sys/devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1/nvme0n1p2/dev"] = "259:2\n",
  },
  symlinks = {
    ["/sys/class/block/nvme0n1p2"] = "../../devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1/nvme0n1p2",
  },
}
