-- The lab bench with `--lab-exporter completer=extended --lab-importer --lab-tph v7`.
return require "benches.lab_machine"(
  "lab-exporter-extended-importer-tph-v7", { exporter = "extended", importer = true, tph = "v7" })
