-- A device below a port that is not there.
local bench = require "benches.standard"
bench.devices[1].parent = "0000:00:09.0"
return bench
