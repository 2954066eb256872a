-- The lab bench as it is without flags; the names of others, such as lab-connectx, are made of parts: lab_machine.lua.
return require "benches.lab_machine"("lab")
