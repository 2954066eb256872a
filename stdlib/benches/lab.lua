-- The lab bench without options. Names of other labs, such as lab-connectx, are composed of parts: `peerlab help benches`.
return require "benches.lab_machine"("lab")
