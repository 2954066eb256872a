-- A steering tag table with room for nothing.
local bench = require "benches.standard"
bench.devices[3].rdma.steering_table = 1
return bench
