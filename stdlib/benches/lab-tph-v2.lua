-- The lab bench with `--lab-tph v2`.
return require "benches.lab_machine"("lab-tph-v2", { tph = "v2" })
