-- Linux 7.3.4 with v6 of the TPH series.
return require "benches.machine"("tph-v6", { release = "7.3.4", tph = "v6", tph_feature = 13 })
