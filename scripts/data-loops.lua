-- Traffic for scripts/check-loops: every kind of loop, with all that a loop may do.
local traffic, rdma_pair = require "traffic", require "rdma_pair"

return {
  name = "data-loops",
  roles = { "target", "initiator" },
  options = { nic = { type = "rdma", default = "auto", about = "RDMA device" } },
  cases = {
    { "streams and ping-pong", function(t, opt)
      local first = t:role() == "initiator"
      local side <close> = rdma_pair.connect(t, { nic = opt.nic })
      if first then
        traffic.stream {
          qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = 64,
          count = 20000, latency = true, slots = 4, batch = 4, rate = 1e9,
        }
      end
      t:barrier()
      for _, opcode in ipairs { "rdma_write", "send" } do
        traffic.ping_pong {
          qp = side.qp, opcode = opcode, starts = first, mr = side.mr, recv_offset = 4096, size = 8,
          remote_addr = side.peer.addr + 4096, rkey = side.peer.rkey, count = 500,
        }
        t:barrier()
        traffic.ping_pong {
          qp = side.qp, opcode = opcode, starts = first, mr = side.mr, recv_offset = 4096, size = 8,
          remote_addr = side.peer.addr + 4096, rkey = side.peer.rkey, duration_ms = 200,
        }
        t:barrier()
      end
    end },
  },
}
