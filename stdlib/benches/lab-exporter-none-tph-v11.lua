-- The lab bench with `--lab-exporter completer=none --lab-tph v11`.
return require "benches.lab_machine"("lab-exporter-none-tph-v11", { exporter = "none", tph = "v11" })
