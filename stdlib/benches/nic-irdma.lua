-- The standard bench with an Intel E810: its regions stay unusable after a revocation.
return require "benches.machine"("nic-irdma", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  nic = { id = "8086:1592", driver = "ice", tph_requester = false },
  rdma = { name = "irdma_0", driver = "irdma", requester = "none" },
})
