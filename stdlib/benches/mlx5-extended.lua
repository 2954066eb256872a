-- The standard bench with v11 of the TPH series, and a ConnectX that sends 16-bit tags and asks exporters only for
-- those.
return require "benches.machine"("mlx5-extended", { release = "7.3.4", tph = "v11" }, { rdma = { requester = "extended" } })
