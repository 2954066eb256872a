-- Linux 7.3.4 with v4 of the TPH series.
return require "benches.machine"("tph-v4", { release = "7.3.4", tph = "v4", tph_feature = 13 })
