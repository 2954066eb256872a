-- An access control service that is none.
local bench = require "benches.standard"
bench.devices[1].acs = { "rr", "tb" }
return bench
