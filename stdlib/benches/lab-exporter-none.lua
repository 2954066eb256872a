-- The lab bench with `--lab-exporter completer=none`.
return require "benches.lab_machine"("lab-exporter-none", { exporter = "none" })
