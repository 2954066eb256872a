-- The lab bench with `--lab-exporter completer=extended --lab-tph v9`.
return require "benches.lab_machine"("lab-exporter-extended-tph-v9", { exporter = "extended", tph = "v9" })
