-- Linux 7.3.4 with v11 of the TPH series.
return require "benches.machine"("tph-v11", { release = "7.3.4", tph = "v11", tph_feature = 13 })
