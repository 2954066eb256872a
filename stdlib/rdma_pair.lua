--- One side of a reliable connection between two roles: what every scenario with traffic sets up first.
local rdma, memory, scope = require "rdma", require "memory", require "scope"

local rdma_pair = {}

local KEYS = { nic = true, memory = true, gid_index = true, register = true, send_wr = true, recv_wr = true, inline = true }

--- Connects this role with the other one. `with`: `nic` (a device's name), `memory` (bytes of host memory that both may
--- write, read and, where the NIC does any, do atomics on; default 64K), `gid_index`, `register` (a function of the side, called once it has a `pd`,
--- that returns the region which the other one shall reach instead of the host memory's), and `send_wr`, `recv_wr` and
--- `inline` of `pd:create_qp`. The NIC's GID that was chosen is logged. What comes back is to be closed and has `context`,
--- `pd`, `cq` (sends), `recv_cq`, `qp`, `host` (the memory), `mr` (its region), and `peer`: `addr`, `rkey` and `length` of
--- the other's region.
function rdma_pair.connect(t, with)
  for key in pairs(with) do
    if not KEYS[key] then
      error(("rdma_pair.connect: unknown key '%s'"):format(tostring(key)), 2)
    end
  end
  return scope.open(function(side)
    side.context = side:keep(rdma.open(with.nic))
    side.pd = side:keep(side.context:alloc_pd())
    side.host = side:keep(memory.alloc(with.memory or "64K"))
    -- A NIC without atomics may refuse who lets a peer do some.
    local access = { "remote_write", "remote_read" }
    if side.context:query().atomics ~= "none" then
      access[#access + 1] = "remote_atomic"
    end
    side.mr = side:keep(side.pd:reg_mr { memory = side.host, access = { "local_write", table.unpack(access) } })
    local depth = with.send_wr or 128
    side.cq = side:keep(side.context:create_cq(depth))
    side.recv_cq = side:keep(side.context:create_cq(with.recv_wr or 128))
    side.qp = side:keep(side.pd:create_qp {
      send_cq = side.cq, recv_cq = side.recv_cq, send_wr = depth, recv_wr = with.recv_wr or 128,
      inline = with.inline or 0,
    })
    local offered = side.mr
    if with.register then
      offered = side:keep(with.register(side))
    end
    local endpoint = side.qp:endpoint(1, with.gid_index)
    side.peer = t:exchange {
      endpoint = endpoint, addr = offered:addr(), rkey = offered:rkey(), length = offered:length(),
    }
    -- A second, eight times: a peer whose machine is busy is none that is gone.
    side.qp:connect { to = side.peer.endpoint, access = access, gid_index = with.gid_index, timeout = 18 }
    for _, gid in ipairs(side.context:gids()) do
      if with.gid_index and gid.index == with.gid_index or rdma_pair.text(endpoint.gid) == gid.gid then
        side.gid = gid
      end
    end
    if endpoint.lid ~= 0 and not with.gid_index then
      t:log(("%s: LID %d"):format(with.nic, endpoint.lid))
    else
      t:log(("%s: GID %s"):format(with.nic, side.gid and ("%d, %s %s"):format(side.gid.index, side.gid.type, side.gid.gid) or "none"))
    end
    t:barrier()
  end)
end

--- What must stand beside every time that was measured: nothing, or that it is a model's.
function rdma_pair.caveat(t)
  return t:bench() == "sim" and " (the model's own speed, no hardware's)" or ""
end

--- A GID's bytes as `context:gids` writes them.
function rdma_pair.text(bytes)
  return (bytes:gsub("..", function(pair)
    return ("%02x%02x:"):format(pair:byte(1, 2))
  end):sub(1, -2))
end

return rdma_pair
