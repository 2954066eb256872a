--- One side of a reliable connection between two roles: the usual setup of a scenario with traffic.
local rdma, memory, scope, keys = require "rdma", require "memory", require "scope", require "keys"

local rdma_pair = {}

---@class rdma_pair.setup
---@field nic string
---@field length? integer|string bytes of host memory; default: 64K
---@field sgid_index? integer
---@field register? false|fun(side: rdma_pair.side): rdma.mr
---@field queue_pairs? integer connected queue pairs of each role; default: 1
---@field max_send_wr? integer
---@field max_recv_wr? integer
---@field max_inline_data? integer

---@class rdma_pair.side: scope.scope
---@field context rdma.context
---@field pd rdma.pd
---@field cq rdma.cq of sends
---@field recv_cq rdma.cq
---@field qp rdma.qp the first queue pair
---@field qps rdma.qp[] all of them
---@field host memory.mapping
---@field mr rdma.mr of the host memory
---@field peer { addr: integer, rkey: integer, length: integer, endpoints: rdma.endpoint[] } the other role's region
---@field gid? rdma.gid

local KINDS = {
  nic = "string", length = "size", sgid_index = { 0, 255 }, register = "callback", queue_pairs = { 1, 256 },
  max_send_wr = { 1, 65536 }, max_recv_wr = { 1, 65536 }, max_inline_data = { 0, 65536 },
}
-- Names before version 0.2.
local RENAMED = { gid_index = "sgid_index", send_wr = "max_send_wr", recv_wr = "max_recv_wr", inline = "max_inline_data", memory = "length" }
local Side = scope.class("the side of rdma_pair", { "gid" })
local PEER = { __index = keys.index "the peer of rdma_pair" }

--- Connects this role with the other one. `with` has `nic` (a device's name); `length` (bytes of host memory that both
--- may write, read and, where the NIC has atomics, use for them; default 64K); `sgid_index`; `register` (a function
--- called with the side once it has a `pd`; it returns the region that the other role shall reach in place of the host
--- memory's); `queue_pairs`, as many of which each role connects; and `max_send_wr`, `max_recv_wr` and `max_inline_data` of
--- `pd:create_qp`. The chosen GID of the NIC is logged. Returns an object to be closed with `context`, `pd`, `cq` (sends),
--- `recv_cq`, `qp` and `qps`, `host` (the memory), `mr` (its region), and `peer`: `addr`, `rkey` and `length` of the other
--- role's region.
---@param t case
---@param with rdma_pair.setup
---@return rdma_pair.side
function rdma_pair.connect(t, with)
  keys.check("rdma_pair.connect", with, KINDS, RENAMED)
  return scope.open(function(side)
    side.context = side:keep(rdma.open(with.nic))
    side.pd = side:keep(side.context:alloc_pd())
    side.host = side:keep(memory.alloc(with.length or "64K"))
    -- A NIC without atomics may refuse a queue pair that permits them.
    local access = { "remote_write", "remote_read" }
    if side.context:query_device().atomic_cap ~= "none" then
      access[#access + 1] = "remote_atomic"
    end
    side.mr = side:keep(side.pd:reg_mr { memory = side.host, access = { "local_write", table.unpack(access) } })
    local depth, receives, count = with.max_send_wr or 128, with.max_recv_wr or 128, with.queue_pairs or 1
    side.cq = side:keep(side.context:create_cq(depth * count))
    side.recv_cq = side:keep(side.context:create_cq(receives * count))
    side.qps = {}
    local endpoints = {}
    for index = 1, count do
      side.qps[index] = side:keep(side.pd:create_qp {
        send_cq = side.cq, recv_cq = side.recv_cq, max_send_wr = depth, max_recv_wr = receives,
        max_inline_data = with.max_inline_data or 0,
      })
      endpoints[index] = side.qps[index]:endpoint(1, with.sgid_index)
    end
    side.qp = side.qps[1]
    local offered = side.mr
    if with.register then
      offered = side:keep(with.register(side))
    end
    side.peer = setmetatable(t:exchange {
      endpoints = endpoints, addr = offered:addr(), rkey = offered:rkey(), length = offered:length(),
    }, PEER)
    for index, qp in ipairs(side.qps) do
      local to = side.peer.endpoints[index]
      if not to then
        error(("rdma_pair.connect: the other role has %d queue pairs, not %d"):format(#side.peer.endpoints, count), 0)
      end
      -- A timeout of a second with seven retries: a peer on a busy machine is slow, not lost.
      qp:connect { to = to, access = access, sgid_index = with.sgid_index, timeout = 18 }
    end
    local endpoint = endpoints[1]
    for _, gid in ipairs(side.context:gids()) do
      if with.sgid_index and gid.index == with.sgid_index or rdma_pair.text(endpoint.gid) == gid.gid then
        side.gid = gid
      end
    end
    if endpoint.lid ~= 0 and not with.sgid_index then
      t:log(("%s: LID %d"):format(with.nic, endpoint.lid))
    else
      t:log(("%s: GID %s"):format(with.nic, side.gid and ("%d, %s %s"):format(side.gid.index, side.gid.type, side.gid.gid) or "none"))
    end
    t:barrier()
  end, Side)
end

--- The note that must accompany measured times: empty, or that they are a model's.
---@param t case
---@return string
function rdma_pair.caveat(t)
  return t:bench() == "sim" and " (the model's own speed, no hardware's)" or ""
end

--- A GID's bytes in the notation of `context:gids`.
---@param bytes string
---@return string
function rdma_pair.text(bytes)
  return (bytes:gsub("..", function(pair)
    return ("%02x%02x:"):format(pair:byte(1, 2))
  end):sub(1, -2))
end

return rdma_pair
