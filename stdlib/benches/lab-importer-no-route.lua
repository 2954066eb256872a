-- The lab bench with `--lab-importer --lab-machine no-route`.
return require "benches.lab_machine"("lab-importer-no-route", { importer = true, machine = "no-route" })
