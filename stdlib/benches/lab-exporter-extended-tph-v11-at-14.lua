-- The lab bench with `--lab-exporter completer=extended --lab-tph v11@14`.
return require "benches.lab_machine"(
  "lab-exporter-extended-tph-v11-at-14", { exporter = "extended", tph = "v11", tph_feature = 14 })
