-- The standard bench with a ConnectX that handles no page faults, and so registers no dma-buf.
return require "benches.machine"("mlx5-no-odp", { release = "7.3.4", tph = "v2", tph_feature = 13 }, { rdma = { odp = false } })
