-- v11 of the TPH series and a ConnectX with a steering tag table: three tags at a time.
return require "benches.machine"("mlx5-table", { release = "7.3.4", tph = "v11", tph_feature = 13 }, {
  rdma = { steering_table = 4 },
})
