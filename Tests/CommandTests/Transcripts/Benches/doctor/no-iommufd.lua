-- The kernel has no iommufd.
return require "doctor_machine"("no-iommufd", function(bench)
  bench.kernel.iommufd = false
end)
