-- The lab bench with `--lab-importer --lab-tph v6@14`.
return require "benches.lab_machine"("lab-importer-tph-v6-at-14", { importer = true, tph = "v6", tph_feature = 14 })
