-- The standard bench with a host bridge that the kernel does not know to forward peer-to-peer requests.
return require "benches.machine"("no-route", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  host_bridges = { { name = "pci0000:00", peer_to_peer = "none" } },
})
