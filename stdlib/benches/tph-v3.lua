-- Linux 7.3.4 with v3 of the TPH series.
return require "benches.machine"("tph-v3", { release = "7.3.4", tph = "v3", tph_feature = 13 })
