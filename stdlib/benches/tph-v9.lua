-- Linux 7.3.4 with v9 of the TPH series.
return require "benches.machine"("tph-v9", { release = "7.3.4", tph = "v9", tph_feature = 13 })
