-- Options and fields that the library's tables do not have.
local rdma_pair, loopback, traffic, steering = require "rdma_pair", require "loopback", require "traffic", require "steering"

local NIC <const> = "mlx5_0"

return {
  name = "unknown-names",
  roles = { "a", "b" },
  cases = {
    { "options", function(t)
      for _, with in ipairs {
        { queue_pairs = "two" }, { queue_pairs = 0 }, { queue_pairs = -1 }, { queue_pairs = 1.5 }, { queue_pairs = 1000 },
        { queue_pair = 1 }, { inline = 8 }, { length = {} }, { register = 5 },
      } do
        with.nic = NIC
        t:log(select(2, pcall(function() rdma_pair.connect(t, with) end)))
      end
    end },
    { "fields", function(t)
      local side <close> = rdma_pair.connect(t, { nic = NIC })
      local nic <close> = loopback.open(side.context, side.pd)
      side.gid = nil
      for _, read in ipairs {
        { side, "hots" }, { side.peer, "key" }, { side, 1 },
        { nic, "hear" }, { side, "gid" },
      } do
        t:log(select(2, pcall(function() return read[1][read[2]] end)) or "nil")
      end
    end },
    { "the peer's memory", function(t)
      local side <close> = rdma_pair.connect(t, { nic = NIC })
      for _, opcode in ipairs { "rdma_write", "rdma_read", "atomic_fetch_and_add" } do
        for _, keys in ipairs { {}, { rkey = 0 } } do
          keys.opcode, keys.mr = opcode, side.mr
          t:log(select(2, pcall(side.qp.post_send, side.qp, keys)))
          keys.qp = side.qp
          t:log(select(2, pcall(traffic.stream, keys)))
        end
      end
      t:log(select(2, pcall(traffic.ping_pong, {
        qp = side.qp, opcode = "rdma_write", starts = true, mr = side.mr, recv_offset = 4096,
      })))
    end },
    { "a question", function(t)
      local side <close> = rdma_pair.connect(t, { nic = NIC })
      for _, key in ipairs { "target", "exporter" } do
        t:log(select(2, pcall(function()
          local _ = steering.seen { t = t, nic = NIC, mr = side.mr, [key] = 5 }
        end)))
      end
    end },
  },
}
