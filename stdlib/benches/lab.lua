-- The lab bench without options. Names of other labs, such as lab-connectx, are composed of parts: see lab_machine.lua.
return require "benches.lab_machine"("lab")
