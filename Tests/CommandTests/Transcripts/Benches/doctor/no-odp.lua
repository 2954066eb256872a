-- The NIC does not handle page faults.
return require "doctor_machine"("no-odp", function(_, _, nic)
  nic.rdma.odp = false
end)
