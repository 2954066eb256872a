-- One figure for scripts/benchmarks/lab: what `rdma-bandwidth` and `rdma-latency` measure, as perftest does it, and nothing else.
local traffic, rdma_pair, rdma, memory = require "traffic", require "rdma_pair", require "rdma", require "memory"

--- Memory that both sides may use, and the queue pair: of perftest's size and place.
local function connect(t, opt)
  return rdma_pair.connect(t, { nic = opt.nic, length = 2 * math.max(opt.size, 4096), max_send_wr = opt.depth,
    max_inline_data = opt.kind:find "latency" and 220 or 0 })
end

return {
  name = "traffic-bench",
  roles = { "target", "initiator" },
  options = {
    nic = { type = "rdma", default = "auto", about = "RDMA device" },
    kind = { type = "enum", values = { "write-bandwidth", "write-latency", "send-latency", "registration" },
      default = "write-bandwidth", about = "what is measured" },
    size = { type = "size", default = 64, min = 1, max = "1M", about = "bytes of a message" },
    count = { type = "integer", default = 1000, min = 1, max = 10000000, about = "messages" },
    depth = { type = "integer", default = 128, min = 1, max = 4096, about = "messages on their way" },
    signal_every = { type = "integer", default = 64, min = 1, max = 4096, about = "completions" },
  },
  cases = {
    { "measure", function(t, opt)
      local first = t:role() == "initiator"
      if opt.kind == "registration" then
        if first then
          local context <close> = rdma.open(opt.nic)
          local pd <close> = context:alloc_pd()
          local host <close> = memory.alloc(4096)
          local request = { memory = host, access = { "local_write" } }
          local start = require("sys").now()
          for _ = 1, opt.count do
            pd:reg_mr(request):close()
          end
          t:log(("FIGURES %d"):format((require("sys").now() - start) // opt.count))
        end
        return
      end
      local side <close> = connect(t, opt)
      if opt.kind == "write-bandwidth" then
        if first then
          local result = traffic.stream {
            qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey,
            size = opt.size, count = opt.count, depth = opt.depth, signal_every = opt.signal_every,
          }
          t:log(("FIGURES %.3f"):format(result.messages_per_s))
        end
      else
        local half = math.max(opt.size, 4096)
        local _, latency = traffic.ping_pong {
          qp = side.qp, opcode = opt.kind == "write-latency" and "rdma_write" or "send", starts = first, mr = side.mr, recv_offset = half,
          -- As perftest's latency programs do by default.
          inline = opt.size <= 220, size = opt.size, remote_addr = side.peer.addr + half, rkey = side.peer.rkey, count = opt.count,
        }
        if first then
          t:log(("FIGURES %d %d"):format(latency:quantile(0.5), latency:quantile(0.99)))
        end
      end
      t:barrier()
    end },
  },
}
