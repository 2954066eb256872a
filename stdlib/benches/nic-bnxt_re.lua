-- The standard bench with a Broadcom NIC, which pins dma-bufs.
return require "benches.machine"("nic-bnxt_re", { release = "7.3.4", tph = "v2", tph_feature = 13 }, {
  nic = { id = "14e4:1750", driver = "bnxt_en", tph_requester = false },
  rdma = { name = "bnxt_re_0", driver = "bnxt_re", requester = "none" },
})
