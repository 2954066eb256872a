-- The lab bench with `--lab-nic connectx` and a `--lab-kernel` that has v2 of the series, whose feature is number 14 there.
return require "benches.lab_machine"("lab-connectx-tph-v2-at-14", { nic = true, tph = "v2", tph_feature = 14 })
