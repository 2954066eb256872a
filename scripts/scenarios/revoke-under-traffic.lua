-- The exporter takes its memory away while a NIC writes into it: nothing may succeed from then on, the region stays, and a
-- new registration says why it cannot be.
local vfio, traffic, sys, expect, rdma_pair =
  require "vfio", require "traffic", require "sys", require "expect", require "rdma_pair"

local LENGTH, COMMAND, MEMORY = 65536, 4, 2

local function set_memory(dev, on)
  local command = dev:load(vfio.CONFIG, COMMAND, 2)
  dev:store(vfio.CONFIG, COMMAND, 2, on and command | MEMORY or command & ~MEMORY)
end

--- A case: the target does `disturb(dev, side, register)` while the initiator writes `count` messages; then
--- `judge(result)` at the initiator.
local function case(disturb, judge)
  return function(t, opt)
    local dev, register
    local side <close> = rdma_pair.connect(t, {
      nic = opt.nic, memory = LENGTH,
      register = t:role() == "target" and function(side)
        dev = side:keep(vfio.open(opt.exporter))
        local buf = side:keep(dev:export_dmabuf { region = opt.region, ranges = { { offset = 0, length = LENGTH } } })
        function register()
          return side.pd:reg_dmabuf_mr { dmabuf = buf, length = LENGTH, access = { "local_write", "remote_write" } }
        end
        return register()
      end,
    })
    if t:role() == "target" then
      t:barrier()
      sys.sleep(20)
      disturb(dev, register, t)
      t:barrier()
    else
      t:barrier()
      judge(traffic.stream {
        qp = side.qp, op = "write", from = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = 256,
        count = opt.count,
      }, opt, t)
      t:barrier()
    end
  end
end

--- The stream ends with a refusal, before all was sent.
local function refused(result, opt, t)
  expect.truthy(result.failure, "a completion says that the memory is gone")
  expect.equal(result.failure.status, "REM_ACCESS_ERR", "status")
  expect.truthy(result.messages < opt.count, "messages after the memory was gone")
  t:log(("%d of %d messages were written before"):format(result.messages, opt.count))
end

return {
  name = "revoke-under-traffic",
  about = "memory that is taken away while a NIC writes into it takes no byte more",
  roles = { "target", "initiator" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "whose BAR is written" },
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR" },
    count = { type = "integer", default = 20000, min = 1000, max = 100000000, about = "messages, more than fit in the time" },
  },
  needs = { "vfio.dma_buf", "rdma.reg_dmabuf_mr" },
  effects = { "open", "config_write", "reset", "dma" },
  cases = {
    { "memory decode off", case(function(dev, register, t)
      set_memory(dev, false)
      expect.errno("ENODEV", register)
      t:barrier() -- until the initiator has seen it
      set_memory(dev, true)
      register():close()
    end, function(...)
      refused(...)
      select(3, ...):barrier()
    end) },
    { "the device is closed", case(function(dev, register)
      dev:close()
      expect.errno("ENODEV", register)
    end, refused) },
    -- mlx5 maps again at the next page fault. Drivers that cannot lose the region with the first revocation.
    { "a reset is a pause, or the end", case(function(dev, register)
      dev:reset()
      register():close()
    end, function(result, opt, t)
      if result.failure then
        return refused(result, opt, t)
      end
      expect.equal(result.messages, opt.count, "messages")
      t:log "every message was written: the region was mapped again"
    end) },
  },
}
