-- The lab bench without options. Names of other labs, such as lab-connectx, are composed of the parts at the end of `peerlab help benches`.
return require "benches.lab_machine"("lab")
