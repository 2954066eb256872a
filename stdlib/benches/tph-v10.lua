-- Linux 7.3.4 with v10 of the TPH series.
return require "benches.machine"("tph-v10", { release = "7.3.4", tph = "v10", tph_feature = 13 })
