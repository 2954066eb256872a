-- The lab bench with `--lab-exporter completer=tph --lab-tph v9`.
return require "benches.lab_machine"("lab-exporter-tph-tph-v9", { exporter = "tph", tph = "v9" })
