-- The lab bench without options. Names of other labs, such as lab-connectx, are composed of the parts below this list.
return require "benches.lab_machine"("lab")
