-- The lab bench with `--lab-exporter completer=extended --lab-tph v11`.
return require "benches.lab_machine"("lab-exporter-extended-tph-v11", { exporter = "extended", tph = "v11" })
