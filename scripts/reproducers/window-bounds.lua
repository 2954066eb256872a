-- peerlab run --bench sim:lab scripts/reproducers/window-bounds.lua
-- Also --bench lab, whose kernel has the software device rxe.
--
-- A memory window lends a peer a part of a region, by a key of its own. rxe_lookup_mw() finds the window, and compares the
-- key, the protection domain, the queue pair, the state and the rights; nothing compares the address with the window's.
-- check_rkey() then hands the region that the window is bound to, and the address, to mr_check_range().
--
-- So whoever has a window's key reads and writes the whole region. InfiniBand Architecture Specification, volume 1, 10.6.6:
-- bounds are among what is checked of each access. Read in the source of rxe_mw.c and rxe_resp.c, and seen on 7.3.4.
local rdma, memory = require "rdma", require "memory"
local expect, reproducing, scope = require "expect", require "reproducing", require "scope"

-- The vendor_id of its devices: drivers/infiniband/sw/rxe/rxe_param.h.
local RXE <const> = 0xffffff
local REGION <const> = 65536
local OFFSET <const>, LENGTH <const> = 8192, 4096
-- Where the requester has its own bytes, and how many.
local LOCAL <const>, COUNT <const> = 32768, 64

--- A case: `body(t, by, host)` with a window of 4096 bytes at 8192 of a region of 64 KiB. `by(opcode, place)` accesses 64 bytes
--- at that place of the region by the window's key, and tells how that ended.
local function windowed(access, body)
  return function(t, opt)
    local open <close> = scope.open()
    local context = open:keep(rdma.open(opt.nic))
    if context:query_device().vendor_id ~= RXE then
      local benches = "--bench lab without --lab-nic and --bench sim:lab have one"
      t:skip(opt.nic .. " is no device of rxe, whose bug this is; " .. benches)
    end
    local pd = open:keep(context:alloc_pd())
    local host = open:keep(memory.alloc(REGION))
    local mr = open:keep(pd:reg_mr {
      memory = host, access = { "local_write", "remote_write", "remote_read", "mw_bind" },
    })
    local cq = open:keep(context:create_cq(16))
    local near, far = open:keep(pd:create_qp { send_cq = cq }), open:keep(pd:create_qp { send_cq = cq })
    near:connect { to = far:endpoint() }
    far:connect { to = near:endpoint() }
    local window = open:keep(pd:alloc_mw())
    far:post_send { opcode = "bind_mw", mw = window, mr = mr, offset = OFFSET, length = LENGTH, mw_access_flags = access }
    expect.equal(cq:wait()[1].status, "SUCCESS", "binding the window")
    body(t, function(opcode, place)
      near:post_send {
        opcode = opcode, mr = mr, offset = LOCAL, length = COUNT, remote_addr = mr:addr() + place, rkey = window:rkey(),
      }
      return cq:wait()[1].status
    end, host)
  end
end

local BOTH <const> = { "remote_write", "remote_read" }

local cases = {
  { "The window's own bytes are written and read", windowed(BOTH, function(_, by)
    for _, place in ipairs { OFFSET, OFFSET + LENGTH - COUNT } do
      expect.equal(by("rdma_write", place), "SUCCESS", "a write at " .. place)
      expect.equal(by("rdma_read", place), "SUCCESS", "a read at " .. place)
    end
  end) },
  { "What the window does not grant is refused", windowed({ "remote_read" }, function(_, by)
    expect.equal(by("rdma_write", OFFSET), "REM_ACCESS_ERR", "a write")
  end) },
  { "What lies outside of the region is refused", windowed(BOTH, function(_, by)
    expect.equal(by("rdma_write", REGION), "REM_ACCESS_ERR", "a write")
  end) },
}

for _, each in ipairs {
  { "in front of the window", OFFSET - COUNT }, { "behind the window", OFFSET + LENGTH },
  { "across the window's end", OFFSET + LENGTH - 32 }, { "at the region's first byte", 0 },
} do
  local where, place = each[1], each[2]
  cases[#cases + 1] = { "BUG: a write " .. where, windowed(BOTH, function(t, by, host)
    host:fill(LOCAL, COUNT, 0x5a)
    reproducing.bug(t, by("rdma_write", place), "SUCCESS", "REM_ACCESS_ERR", "the write")
    expect.bytes(host:read(place, COUNT), ("\x5a"):rep(COUNT), "the region's bytes")
  end) }
  cases[#cases + 1] = { "BUG: a read " .. where, windowed(BOTH, function(t, by, host)
    host:fill(place, COUNT, 0xa5)
    reproducing.bug(t, by("rdma_read", place), "SUCCESS", "REM_ACCESS_ERR", "the read")
    expect.bytes(host:read(LOCAL, COUNT), ("\xa5"):rep(COUNT), "what was read")
  end) }
end

return {
  name = "window-bounds",
  about = "rxe lets a peer access all of a region by the key of a memory window to a part of it",
  concerns = "Linux 7.3.4 and older ones since 5.14, drivers/infiniband/sw/rxe/rxe_resp.c and rxe_mw.c",
  expected = "an access outside of the window is refused: REM_ACCESS_ERR at the requester",
  seen = "SUCCESS, and the bytes are written or read: the address is compared with the region's bounds alone",
  effects = { "open", "dma" },
  options = { nic = { type = "rdma", default = "auto", about = "a device of the driver rxe" } },
  tags = { "rdma" },
  needs = { "rdma" },
  cases = cases,
}
