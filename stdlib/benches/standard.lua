-- The default: Linux 7.3.4 with v2 of the TPH series.
return require "benches.machine"("standard", { release = "7.3.4", tph = "v2", tph_feature = 13 })
