-- The standard bench with links in flit mode, whose headers have hints in other fields (`peerlab run --tlp`).
return require "benches.machine"("flit", { release = "7.3.4", tph = "v11" }, { links = "flit" })
