-- The standard bench with a ConnectX that does not handle page faults, and so does not register dma-bufs.
return require "benches.machine"("mlx5-no-odp", { release = "7.3.4", tph = "v2", tph_feature = 13 }, { rdma = { odp = false } })
