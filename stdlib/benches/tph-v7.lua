-- Linux 7.3.4 with v7 of the TPH series.
return require "benches.machine"("tph-v7", { release = "7.3.4", tph = "v7", tph_feature = 13 })
