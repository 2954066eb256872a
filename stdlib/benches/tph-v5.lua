-- Linux 7.3.4 with v5 of the TPH series.
return require "benches.machine"("tph-v5", { release = "7.3.4", tph = "v5", tph_feature = 13 })
