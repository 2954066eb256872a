-- The lab bench with `--lab-exporter completer=tph --lab-tph v7`.
return require "benches.lab_machine"("lab-exporter-tph-tph-v7", { exporter = "tph", tph = "v7" })
