-- One role writes to the other for longer than both live: Tests/Lab/killed-peer ends one of them.
local traffic, expect, rdma_pair = require "traffic", require "expect", require "rdma_pair"

return {
  name = "killed-peer",
  roles = { "target", "initiator" },
  options = { nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" } },
  needs = { "rdma" },
  cases = {
    { "writes without end", function(t, opt)
      local side <close> = rdma_pair.connect(t, { nic = opt.nic })
      print "connected"
      if t:role() == "initiator" then
        local result = traffic.stream {
          qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = 4096,
          duration_ms = 600000,
        }
        t:log("written: " .. (result.messages > 0 and "some" or "nothing"))
        t:log("ended by: " .. (result.failure and result.failure.status or "nothing"))
        expect.equal(next(result.failures), nil, "failures")
      end
      t:barrier "10m"
    end },
    { "comes after", function(t)
      t:barrier()
    end },
  },
}
