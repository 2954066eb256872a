-- The lab bench with `--lab-importer --lab-machine below-switch`.
return require "benches.lab_machine"("lab-importer-below-switch", { importer = true, machine = "below-switch" })
