-- Another function of the drive is in its IOMMU group, and the host's driver has it.
return require "doctor_machine"("sibling", function(bench, drive)
  table.insert(bench.devices, {
    address = "0000:12:00.1", id = "144d:a826", class = 0x010802, group = drive.group, parent = drive.parent, driver = "nvme",
    bars = { { index = 0, size = "32K", bits = 64 } },
  })
end)
