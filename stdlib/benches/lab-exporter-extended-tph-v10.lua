-- The lab bench with `--lab-exporter completer=extended --lab-tph v10`.
return require "benches.lab_machine"("lab-exporter-extended-tph-v10", { exporter = "extended", tph = "v10" })
