-- A rate that no machine keeps.
local rdma, memory, traffic = require "rdma", require "memory", require "traffic"
return {
  name = "paced",
  cases = {
    ["one"] = function(t)
      local c <close> = rdma.open("mlx5_0")
      local pd <close> = c:alloc_pd()
      local cq <close> = c:create_cq(64)
      local a <close> = pd:create_qp { send_cq = cq, max_send_wr = 1, max_recv_wr = 8 }
      local b <close> = pd:create_qp { send_cq = cq, max_send_wr = 8, max_recv_wr = 8 }
      a:connect { to = b:endpoint() }
      b:connect { to = a:endpoint() }
      local m <close> = memory.alloc("1M")
      local mr <close> = pd:reg_mr { memory = m, access = { "local_write", "remote_write" } }
      local r, post, due = traffic.stream {
        qp = a, opcode = "rdma_write", mr = mr, remote_addr = mr:addr(), rkey = mr:rkey(), size = 64, count = 300, latency = true,
        rate = 1e8, depth = 1,
      }
      t:log(("reached less than asked: %s"):format(r.rate_reached < r.rate_asked))
      t:latencies("write", post)
      t:latencies("write", due)
    end,
  },
}
