--- Two connected queue pairs of one NIC, through which it writes to and reads from its own regions.
local memory, expect, scope = require "memory", require "expect", require "scope"

local loopback = {}

---@class loopback.connection: scope.scope
---@field cq rdma.cq
---@field host memory.mapping the local memory
---@field mr rdma.mr its region
---@field here rdma.qp the queue pair that sends
local Loopback = scope.class "the loopback connection"
local LENGTH <const> = 4096

--- Makes the NIC do an "rdma_write" or "rdma_read" of `length` bytes (default: 256) at the start of a region, which
--- must allow that to a peer. Returns when it has completed.
---@param opcode "rdma_write"|"rdma_read"
---@param mr rdma.mr
---@param length? integer
function Loopback:move(opcode, mr, length)
  self.here:post_send { opcode = opcode, mr = self.mr, length = length or 256, remote_addr = mr:addr(), rkey = mr:rkey() }
  expect.equal(self.cq:wait()[1].status, "SUCCESS", "completion")
end

--- Connects two queue pairs of a protection domain, to be closed. `host`: the local memory, 4096 bytes, which writes
--- read from and reads write to.
---@param context rdma.context
---@param pd rdma.pd
---@return loopback.connection
function loopback.open(context, pd)
  return scope.open(function(self)
    self.cq = self:keep(context:create_cq())
    self.host = self:keep(memory.alloc(LENGTH))
    self.mr = self:keep(pd:reg_mr { memory = self.host, access = { "local_write" } })
    self.here = self:keep(pd:create_qp { send_cq = self.cq })
    local there = self:keep(pd:create_qp { send_cq = self.cq })
    self.here:connect { to = there:endpoint() }
    there:connect { to = self.here:endpoint() }
  end, Loopback)
end

--- Connects, moves as `Loopback:move` does, and closes everything.
---@param context rdma.context
---@param pd rdma.pd
---@param opcode "rdma_write"|"rdma_read"
---@param mr rdma.mr
---@param length? integer
function loopback.move(context, pd, opcode, mr, length)
  local nic <close> = loopback.open(context, pd)
  nic:move(opcode, mr, length)
end

return loopback
