-- The lab bench with `--lab-importer`.
return require "benches.lab_machine"("lab-importer", { importer = true })
