-- The lab bench with `--lab-exporter completer=extended --lab-importer --lab-tph v9`.
return require "benches.lab_machine"(
  "lab-exporter-extended-importer-tph-v9", { exporter = "extended", importer = true, tph = "v9" })
