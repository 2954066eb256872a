-- The lab bench with `--lab-tph v6@14`.
return require "benches.lab_machine"("lab-tph-v6-at-14", { tph = "v6", tph_feature = 14 })
