-- The lab bench's machine as the simulated bench knows it: Linux 7.3.4 without TPH, rxe instead of a ConnectX.
local bench = require "benches.machine"("lab", { release = "7.3.4" })
local nic = bench.devices[3]
nic.driver = "virtio-pci"
nic.rdma = { name = "rxe0", driver = "rxe" }
return bench
