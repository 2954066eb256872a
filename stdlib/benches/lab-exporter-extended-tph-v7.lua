-- The lab bench with `--lab-exporter completer=extended --lab-tph v7`.
return require "benches.lab_machine"("lab-exporter-extended-tph-v7", { exporter = "extended", tph = "v7" })
