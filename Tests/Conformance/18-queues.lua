-- Queue pairs of a software RDMA device (rxe): what may be made, in which order it is destroyed, and how work requests
-- end: reliable and unreliable connections, datagrams, shared receive queues.
local queues = require "queues"

local with_queues, create, pair, ends, PATIENCE = queues.case, queues.create, queues.pair, queues.ends, queues.PATIENCE
local ALL = queues.ALL
local KEY <const> = 0x11111111

--- An unsigned number of so many bytes in the memory.
local function number(q, size, at)
  return (("<I" .. size):unpack(q.host:read(at, size)))
end

local function fill(q, at, byte, count)
  q.host:fill(at, count, byte)
end

--- Every operation over a connection, and what is wrong with each.
local function operations(kind)
  return with_queues(function(answer, q)
    local a, b = pair(q, kind)
    local far = { remote_addr = q.mr:addr() + 32768, rkey = q.mr:rkey() }
    local function post(name, with)
      local request = { mr = q.mr, length = 64, remote_addr = far.remote_addr, rkey = far.rkey }
      for key, value in pairs(with) do
        request[key] = value
      end
      answer("post " .. name, a.post_send, a, request)
    end
    fill(q, 0, 0x5a, 4096)
    post("write", { opcode = "rdma_write", wr_id = 1 })
    ends(answer, "write", q.cq, 1)
    answer:value("written", number(q, 1, 32768))
    b:post_recv { mr = q.mr, offset = 16384, length = 128, wr_id = 2 }
    post("send", { opcode = "send", wr_id = 3 })
    ends(answer, "send", q.cq, 1)
    local got = ends(answer, "recv", q.recv_cq, 1)
    answer:value("received", got[1] and got[1].byte_len)
    b:post_recv { mr = q.mr, offset = 16384, length = 128, wr_id = 4 }
    post("write_imm", { opcode = "rdma_write_with_imm", wr_id = 5, imm_data = 77 })
    ends(answer, "write_imm", q.cq, 1)
    got = ends(answer, "recv of write_imm", q.recv_cq, 1)
    answer:value("immediate", got[1] and got[1].imm_data)
    post("send of nothing", { opcode = "send", length = 0, wr_id = 6, inline = true })
    if kind == "rc" then
      -- Nobody receives: tried once more, then given up, and the connection is over.
      ends(answer, "without a receive", q.cq, 1)
      post("after the end", { opcode = "rdma_write", wr_id = 7 })
      ends(answer, "after the end", q.cq, 1)
      return
    end
    ends(answer, "without a receive", q.cq, 1)
    post("to a key that is none", { opcode = "rdma_write", rkey = 0xdead00, wr_id = 8 })
    ends(answer, "to a key that is none", q.cq, 1)
    post("write again", { opcode = "rdma_write", wr_id = 9 })
    ends(answer, "write again", q.cq, 1)
  end)
end

return {
  name = "conformance-queues",
  about = "queue pairs, shared receive queues and datagrams of a software RDMA device",
  options = { nic = { type = "rdma", default = "auto", about = "RDMA device" } },
  cases = {
    { "what may be created", with_queues(function(answer, q)
      for _, kind in ipairs { "rc", "uc", "ud" } do
        local qp <close> = answer("create " .. kind, create, q, { qp_type = kind })
        answer:value(kind .. " has a number", qp and qp:endpoint().qp_num > 0)
      end
      answer("more sends than there can be", create, q, { max_send_wr = 1 << 30 })
      answer("more pieces than there can be", create, q, { max_send_sge = 1 << 20 })
      local srq <close> = answer("create_srq", q.pd.create_srq, q.pd, { max_wr = 4 })
      answer("an SRQ of more than there can be", q.pd.create_srq, q.pd, { max_wr = 1 << 30 })
      local qp <close> = answer("create with SRQ", create, q, { srq = srq })
      answer("close the SRQ in use", srq.close, srq)
      answer("receive on its own queue", qp.post_recv, qp, { mr = q.mr, length = 8 })
    end) },

    { "order of closing", with_queues(function(answer, q)
      local qp <close> = create(q)
      answer("cq in use", q.cq.close, q.cq)
      answer("pd in use", q.pd.close, q.pd)
      qp:close()
      local ah <close> = answer("create_ah", function()
        local other = create(q, { qp_type = "ud" })
        local _other <close> = other
        return q.pd:create_ah { to = other:endpoint() }
      end)
      q.mr:close()
      answer("pd with an address", q.pd.close, q.pd)
      ah:close()
      answer("pd with nothing", q.pd.close, q.pd)
    end) },

    { "states", with_queues(function(answer, q)
      local a, b = create(q), create(q)
      answer("send in RESET", a.post_send, a, { opcode = "send", mr = q.mr, length = 8 })
      answer("receive in RESET", a.post_recv, a, { mr = q.mr, length = 8 })
      answer("connect", a.connect, a, { to = b:endpoint() })
      answer("connect again", a.connect, a, { to = b:endpoint() })
      local d = create(q, { qp_type = "ud" })
      answer("activate", d.to_rts, d, {})
      answer("activate again", d.to_rts, d, {})
      answer("too many sends", function()
        for _ = 1, 4096 do
          a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = 0, rkey = 0, signaled = false }
        end
      end)
    end) },

    { "reliable connection", operations "rc" },
    { "unreliable connection", operations "uc" },

    { "reads and atomics", with_queues(function(answer, q)
      local a, _b = pair(q, "rc")
      local function post(name, with)
        local request = { mr = q.mr, length = 8, remote_addr = q.mr:addr() + 32768, rkey = q.mr:rkey() }
        for key, value in pairs(with) do
          request[key] = value
        end
        answer("post " .. name, a.post_send, a, request)
        ends(answer, name, q.cq, 1)
      end
      q.host:write(32768, ("<I8"):pack(41))
      post("read", { opcode = "rdma_read", wr_id = 1 })
      answer:value("read", number(q, 8, 0))
      post("fetch_add", { opcode = "atomic_fetch_and_add", compare_add = 1, wr_id = 2 })
      answer:value("fetched", number(q, 8, 0))
      post("compare_swap", { opcode = "atomic_cmp_and_swp", compare_add = 42, swap = 7, wr_id = 3 })
      answer:value("compared", number(q, 8, 0))
      answer:value("swapped", number(q, 8, 32768))
      answer("an atomic between words", a.post_send, a, {
        opcode = "atomic_fetch_and_add", mr = q.mr, length = 8, remote_addr = q.mr:addr() + 32769, rkey = q.mr:rkey(), wr_id = 4,
      })
    end) },

    { "a key that grants nothing", with_queues(function(answer, q)
      local a, _b = pair(q, "rc")
      local closed <close> = q.pd:reg_mr { memory = q.host, access = { "local_write" } }
      a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = closed:addr(), rkey = closed:rkey(), wr_id = 1 }
      ends(answer, "write", q.cq, 1)
    end) },

    { "a local key of another domain", with_queues(function(answer, q)
      local a, _b = pair(q, "rc")
      local other <close> = q.context:alloc_pd()
      local foreign <close> = other:reg_mr { memory = q.host, access = ALL }
      a:post_send { opcode = "rdma_write", mr = foreign, length = 8, remote_addr = q.mr:addr(), rkey = q.mr:rkey(), wr_id = 1 }
      ends(answer, "write", q.cq, 1)
    end) },

    { "a receive that is too short", with_queues(function(answer, q)
      local a, b = pair(q, "rc")
      b:post_recv { mr = q.mr, offset = 16384, length = 8, wr_id = 1 }
      a:post_send { opcode = "send", mr = q.mr, length = 64, wr_id = 2 }
      ends(answer, "send", q.cq, 1)
      ends(answer, "recv", q.recv_cq, 1)
    end) },

    { "datagrams", with_queues(function(answer, q)
      local a, b = create(q, { qp_type = "ud" }), create(q, { qp_type = "ud" })
      a:to_rts {}
      b:to_rts { qkey = KEY }
      local to <close> = q.pd:create_ah { to = b:endpoint() }
      local function send(name, with)
        local request = { opcode = "send", mr = q.mr, length = 64, ah = to, remote_qpn = b:endpoint().qp_num }
        for key, value in pairs(with or {}) do
          request[key] = value
        end
        answer("post " .. name, a.post_send, a, request)
        ends(answer, name, q.cq, 1)
      end
      fill(q, 0, 0xa5, 64)
      b:post_recv { mr = q.mr, offset = 16384, length = 256, wr_id = 1 }
      send("one", { wr_id = 2 })
      local got = ends(answer, "recv", q.recv_cq, 1)[1] or {}
      answer:value("bytes", got.byte_len)
      answer:value("from", got.src_qp == a:endpoint().qp_num)
      answer:value("its first byte", number(q, 1, 16384 + 40))
      send("one that nobody receives", { wr_id = 3 })
      b:post_recv { mr = q.mr, offset = 16384, length = 256, wr_id = 4 }
      send("with a wrong key", { wr_id = 5, remote_qkey = 5 })
      send("to a number that is none", { wr_id = 6, remote_qpn = 0xfffff0 })
      send("with immediate data", { opcode = "send_with_imm", wr_id = 7, imm_data = 9 })
      got = ends(answer, "recv after those", q.recv_cq, 1)[1] or {}
      answer:value("immediate", got.imm_data)
      answer("without an address", a.post_send, a, { opcode = "send", mr = q.mr, length = 8 })
      answer("connect", a.connect, a, { to = b:endpoint() })
    end) },

    { "a shared receive queue", with_queues(function(answer, q)
      local srq, a, c = queues.with_shared(answer, q)
      a:post_send { opcode = "send", mr = q.mr, length = 8, wr_id = 10 }
      ends(answer, "from the first", q.cq, 1)
      ends(answer, "recv of the first", q.recv_cq, 1)
      c:post_send { opcode = "send", mr = q.mr, length = 8, wr_id = 11 }
      ends(answer, "from the second", q.cq, 1)
      ends(answer, "recv of the second", q.recv_cq, 1)
      answer("one more receive", srq.post_recv, srq, { mr = q.mr, length = 64, wr_id = 5 })
    end) },

    { "completion events", with_queues(function(answer, q)
      local events, send = queues.with_events(answer, q)
      send(1)
      answer("nobody asked", events.wait_event, events, 20)
      answer("ask", events.req_notify, events)
      answer("what is there is no event", events.wait_event, events, 20)
      send(2)
      answer("the next one is", events.wait_event, events, PATIENCE)
      send(3)
      answer("one for each request", events.wait_event, events, 20)
      answer("ask for solicited", events.req_notify, events, true)
      send(4)
      answer("not solicited", events.wait_event, events, 20)
      send(5, true)
      answer("solicited", events.wait_event, events, PATIENCE)
      answer("completions", function() return #events:poll(16) end)
      answer("moderate", events.modify, events, { cq_count = 4, cq_period = 10 })
      answer("close in use", events.close, events)
    end) },

    { "what happened", with_queues(function(answer, q)
      local srq = q.pd:create_srq { max_wr = 4 }
      q.made:keep(srq)
      local function happened(name, with)
        answer(name, function()
          local event = q.context:wait_event(PATIENCE)
          return event.event_type, event.qp_num == (with and with:endpoint().qp_num)
        end)
      end
      answer("nothing", q.context.wait_event, q.context, 0)
      answer("a limit of more than there are", srq.modify, srq, { srq_limit = 1 << 20 })
      answer("a limit", srq.modify, srq, { srq_limit = 2 })
      local a, b = pair(q, "rc", { srq = srq })
      for id = 1, 3 do
        srq:post_recv { mr = q.mr, offset = 16384 + 64 * id, length = 64, wr_id = id }
      end
      local function send(id)
        a:post_send { opcode = "send", mr = q.mr, length = 8, wr_id = id }
        ends(answer, "send " .. id, q.cq, 1)
        ends(answer, "recv " .. id, q.recv_cq, 1)
      end
      send(11)
      answer("two are left", q.context.wait_event, q.context, 0)
      send(12)
      happened("one is left")
      send(13)
      answer("the limit holds once", q.context.wait_event, q.context, 0)
      a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = 0xdead00, wr_id = 14 }
      ends(answer, "to a key that is none", q.cq, 1)
      happened("the write was refused", b)
      happened("its queue pair takes no more from the shared queue", b)
      answer("no more", q.context.wait_event, q.context, 0)
    end) },

    { "a completion queue that is too small", with_queues(function(answer, q)
      local small = q.context:create_cq(2)
      q.made:keep(small)
      local plain = q.cq
      q.cq = small
      local a = pair(q, "rc")
      q.cq = plain
      -- Of two places asked for, a queue may have some more.
      for id = 1, 8 do
        a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr() + 32768, rkey = q.mr:rkey(), wr_id = id }
      end
      answer("what happened", function() return q.context:wait_event(PATIENCE).event_type end)
    end) },

    { "memory windows", with_queues(queues.windows) },

    { "memory of its own, and pools of keys", with_queues(function(answer, q)
      answer("alloc_dm", function()
        local dm = q.context:alloc_dm(4096)
        q.made:keep(dm)
        return dm
      end)
      answer("alloc_dm of nothing", q.context.alloc_dm, q.context, 0)
      answer("frmr_pools", q.context.frmr_pools, q.context)
    end) },
  },
}
