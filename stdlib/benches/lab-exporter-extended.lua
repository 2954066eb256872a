-- The lab bench with `--lab-exporter completer=extended`.
return require "benches.lab_machine"("lab-exporter-extended", { exporter = "extended" })
