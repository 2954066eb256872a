-- The lab bench with `--lab-exporter completer=tph --lab-tph v11`.
return require "benches.lab_machine"("lab-exporter-tph-tph-v11", { exporter = "tph", tph = "v11" })
