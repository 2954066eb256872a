-- The standard bench with Microsoft's MANA, which pins dma-bufs.
return require "benches.machine"("nic-mana", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  nic = { id = "1414:00ba", driver = "mana", tph_requester = false },
  rdma = { name = "mana_0", driver = "mana", requester = "none" },
})
