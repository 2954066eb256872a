-- The program is in a container that shows no sysfs.
return require "doctor_machine"("no-sysfs", function(bench)
  bench.devices[2].rdma, bench.hidden = nil, { "/sys" }
end)
