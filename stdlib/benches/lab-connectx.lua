-- The lab bench with `--lab-nic connectx`.
return require "benches.lab_machine"("lab-connectx", { nic = true })
