-- The lab bench with `--lab-exporter completer=tph`.
return require "benches.lab_machine"("lab-exporter-tph", { exporter = "tph" })
