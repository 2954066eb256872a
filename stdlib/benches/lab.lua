-- The lab bench as it is without flags.
return require "benches.lab_machine"("lab", {})
