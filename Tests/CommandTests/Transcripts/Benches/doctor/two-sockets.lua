-- The NIC is below another host bridge, of the other processor; the kernel lists neither.
return require "doctor_machine"("two-sockets", function(bench, _, nic)
  table.insert(bench.host_bridges, { name = "pci0000:80", peer_to_peer = "none" })
  table.insert(bench.ports, { address = "0000:80:01.0", parent = "pci0000:80" })
  nic.parent, nic.node = "0000:80:01.0", 1
end)
