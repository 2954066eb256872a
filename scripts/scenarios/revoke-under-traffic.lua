-- The exporter takes its memory away while a NIC writes into it: nothing may succeed from then on, the region stays, and a
-- new registration says why it cannot be. Where the bench sees links, no request reaches it there.
local traffic, sys, bench, fail = require "traffic", require "sys", require "bench", require("case").fail
local expect, rdma_pair, steering, fixture, pci =
  require "expect", require "rdma_pair", require "steering", require "fixture", require "pci"

local LENGTH = 65536
-- Looks for a message, of a millisecond at least, before its stream counts as dead.
local PATIENCE = 30000
-- A key that leads nowhere, or pages that could not be had again: a NIC answers the one or the other.
local REFUSALS = { REM_ACCESS_ERR = true, REM_OP_ERR = true }

--- What the target sees of the traffic in its own memory: what comes back waits until a message is written from now on, and is
--- false where the stream has ended instead.
local function watch(dev, t, region)
  return function()
    dev:store(region, 0, 4, 0)
    for _ = 1, PATIENCE do
      if dev:load(region, 0, 4) ~= 0 then
        return true
      end
      if pcall(t.receive, t, nil, 1) then
        return false
      end
      sys.sleep(1)
    end
    fail "no message came, and the stream did not end"
  end
end

--- To be called when the memory is gone: what comes back checks that no request went there since, and must be called before
--- one may.
local function silence(t, opt)
  local sees = steering.clear_requests()
  return function()
    if sees then
      expect.equal(#bench.tlps { target = opt.exporter }, 0, "requests to memory that is gone")
      t:log "the TLP log has no request to the memory since it went"
    end
  end
end

--- A case: the initiator writes until it is refused. The target waits until it sees messages come, and does
--- `disturb(dev, register, comes, ended, t, opt)`, which takes the memory away for good; `ended()` waits for the stream's end.
local function case(disturb)
  return function(t, opt)
    local dev, register
    local side <close> = rdma_pair.connect(t, {
      nic = opt.nic, length = LENGTH,
      register = t:role() == "target" and function(side)
        local exporter = side:keep(fixture.vfio(opt))
        dev = exporter.dev
        local buf = side:keep(exporter:export { 0, LENGTH // fixture.PAGE })
        function register()
          return side.pd:reg_dmabuf_mr { dmabuf = buf, length = LENGTH, access = { "local_write", "remote_write" } }
        end
        return register()
      end,
    })
    if t:role() == "target" then
      local comes = watch(dev, t, opt.region)
      t:barrier()
      expect.truthy(comes(), "messages come before the memory goes")
      disturb(dev, register, comes, function()
        local check = silence(t, opt)
        t:receive(nil, opt.duration_ms)
        check()
      end, t, opt)
      t:barrier()
    else
      side.host:fill(0, LENGTH, 0x5a)
      t:barrier()
      local result = traffic.stream {
        qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = 256,
        duration_ms = opt.duration_ms,
      }
      t:send(result.messages)
      expect.truthy(result.failure, "a completion says that the memory is gone")
      local status = result.failure.status
      expect.truthy(REFUSALS[status], "the completion is the target's refusal, not " .. status)
      expect.truthy(result.messages > 0, "messages were written before the memory went")
      t:log(("%d messages were written, and the next one was refused: %s"):format(result.messages, status))
      t:barrier()
    end
  end
end

return {
  name = "revoke-under-traffic",
  about = "memory that is taken away while a NIC writes into it takes no byte more",
  tags = { "export", "rdma" },
  roles = { "target", "initiator" },
  options = fixture.nic_options {
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    duration_ms = { type = "integer", default = 60000, min = 1000, max = 3600000,
      about = "milliseconds after which a stream that is not refused fails the case" },
  },
  needs = { "vfio.dma_buf", "rdma.reg_dmabuf_mr" },
  effects = { "open", "region_write", "config_write", "reset", "dma" },
  cases = {
    { "memory decode off", case(function(dev, register, _, ended)
      pci.set_memory(dev, false)
      expect.errno("ENODEV", register)
      ended()
      pci.set_memory(dev, true)
      register():close()
    end) },
    { "the device is closed", case(function(dev, register, _, ended)
      dev:close()
      expect.errno("ENODEV", register)
      ended()
    end) },
    -- mlx5 maps again at the next page fault. Drivers that cannot lose the region with the first revocation.
    { "a reset is a pause, or the end", case(function(dev, register, comes, ended, t, opt)
      dev:reset()
      local check = silence(t, opt)
      register():close()
      if comes() then
        t:log "messages came after the reset: the region was mapped again; closing the device ends it"
        dev:close()
        ended()
      else
        t:log "no message came after the reset"
        check()
      end
    end) },
  },
}
