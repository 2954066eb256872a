-- The standard bench, whose program may pin 64 KiB.
local bench = require "benches.machine"("memlock", { release = "7.3.4", tph = "v2", tph_feature = 13 })
bench.memlock = "64K"
return bench
