-- A NIC with more memory of its own than a model can have.
local bench = require "benches.standard"
bench.devices[3].rdma.own_memory = math.maxinteger
return bench
