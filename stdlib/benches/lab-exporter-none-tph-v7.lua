-- The lab bench with `--lab-exporter completer=none --lab-tph v7`.
return require "benches.lab_machine"("lab-exporter-none-tph-v7", { exporter = "none", tph = "v7" })
