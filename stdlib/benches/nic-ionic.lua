-- The standard bench with an AMD Pensando NIC, which pins dma-bufs.
return require "benches.machine"("nic-ionic", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  nic = { id = "1dd8:1002", driver = "ionic", tph_requester = false },
  rdma = { name = "ionic_0", driver = "ionic", requester = "none" },
})
