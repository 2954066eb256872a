-- Linux 7.3.4 with v11 of the TPH series, its feature renumbered to 14.
return require "benches.machine"("tph-v11-at-14", { release = "7.3.4", tph = "v11", tph_feature = 14 })
