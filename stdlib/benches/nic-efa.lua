-- The standard bench with Amazon's EFA, which pins dma-bufs.
return require "benches.machine"("nic-efa", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  nic = { id = "1d0f:efa2", driver = "efa", tph_requester = false },
  rdma = { name = "efa_0", driver = "efa", requester = "none" },
})
