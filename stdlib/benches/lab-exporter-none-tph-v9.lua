-- The lab bench with `--lab-exporter completer=none --lab-tph v9`.
return require "benches.lab_machine"("lab-exporter-none-tph-v9", { exporter = "none", tph = "v9" })
