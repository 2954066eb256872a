-- The lab bench with `--lab-importer --lab-tph v2`.
return require "benches.lab_machine"("lab-importer-tph-v2", { importer = true, tph = "v2" })
