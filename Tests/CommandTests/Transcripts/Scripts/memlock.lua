-- Registers more memory than the bench's program may pin.
local rdma, memory = require "rdma", require "memory"
local nic <close> = rdma.open "mlx5_0"
local pd <close> = nic:alloc_pd()
local host <close> = memory.alloc "128K"
local _mr <close> = pd:reg_mr { memory = host }
