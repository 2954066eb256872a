-- Queues of mlx5: how large they may be, how much fits, how they connect, in which state what is refused, and in which
-- order they are destroyed.
local queues = require "queues"

local with_queues, create, pair, ends = queues.case, queues.create, queues.pair, queues.ends

--- Creates a queue pair and closes it at once.
local function try(answer, q, name, with)
  local _qp <close> = answer(name, create, q, with)
  q.made:forget()
end

--- Posts until it is refused: how many fit, and the errno.
local function fill(answer, name, most, post)
  local count, refused = 0, "nothing"
  while count < most do
    local ok, err = pcall(post)
    if not ok then
      refused = err.name or tostring(err)
      break
    end
    count = count + 1
  end
  answer:value(name, ("%d, then %s"):format(count, refused))
end

return {
  name = "conformance-mlx5-queues",
  about = "queues of mlx5: sizes, connections, states, order of closing",
  options = { nic = { type = "rdma", default = "auto", about = "the NIC" } },
  cases = {
    { "how large queue pairs may be", with_queues(function(answer, q)
      for _, kind in ipairs { "rc", "uc", "ud" } do
        for _, row in ipairs {
          { "max_send_wr", 0, 1, 8192, 8193, 16384, 16385, 1 << 20, 0x7fffffff }, { "max_recv_wr", 0, 1, 32768, 32769, 0x7fffffff },
          { "max_send_sge", 0, 1, 20, 21, 28, 29, 30, 0x7fffffff }, { "max_recv_sge", 0, 1, 32, 33, 0x7fffffff },
          { "max_inline_data", 0, 1, 316, 317, 444, 445, 0x7fffffff },
        } do
          local key = row[1]
          for _, value in ipairs { table.unpack(row, 2) } do
            local with = { qp_type = kind, max_send_wr = 1, max_recv_wr = 1, max_inline_data = 0 }
            with[key] = value
            try(answer, q, ("%s with %s %d"):format(kind, key, value), with)
          end
        end
      end
    end) },

    { "memory windows", with_queues(function(answer, q) queues.windows(answer, q, true) end) },

    { "how large shared queues may be", with_queues(function(answer, q)
      for _, row in ipairs { { 0, 1 }, { 1, 0 }, { 1, 1 }, { 32767, 1 }, { 32768, 1 }, { 4, 31 }, { 4, 32 }, { 0x7fffffff, 1 } } do
        local _srq <close> = answer(("%d requests of %d pieces"):format(row[1], row[2]), q.pd.create_srq, q.pd,
          { max_wr = row[1], max_sge = row[2] })
      end
      for _, wr in ipairs { 1, 4, 5, 8, 16, 100 } do
        local srq <close> = q.pd:create_srq { max_wr = wr }
        fill(answer, wr .. " asked for, as many fit", 300, function() srq:post_recv { mr = q.mr, length = 8 } end)
        for _, limit in ipairs { 0, 1, wr, wr + 1, 2 * wr + 1, 4 * wr, 0xffffffff } do
          answer(("%d asked for, limit %d"):format(wr, limit), srq.modify, srq, { srq_limit = limit })
        end
      end
    end) },

    { "how many requests fit", with_queues(function(answer, q)
      for _, row in ipairs { { 1, 0 }, { 2, 16 }, { 3, 24 }, { 5, 40 }, { 8, 64 }, { 100, 0 }, { 100, 200 } } do
        local wr, inline = row[1], row[2]
        local a, b = pair(q, "rc", { max_send_wr = wr, max_recv_wr = wr, max_inline_data = inline })
        local name = ("%d of %d bytes"):format(wr, inline)
        fill(answer, name .. ", receives", 1000, function() b:post_recv { mr = q.mr, length = 8 } end)
        -- They wait for a receive request that never comes.
        fill(answer, name .. ", sends", 1000, function()
          b:post_send { opcode = "rdma_write", mr = q.mr, length = 0, remote_addr = 0, rkey = 0, signaled = false }
        end)
        local most = 0
        local c <close> = create(q, { max_send_wr = wr, max_inline_data = inline })
        q.made:forget()
        c:connect { to = a:endpoint(), timeout = 0 }
        for bytes = 0, 512, 4 do
          if not pcall(c.post_send, c, { opcode = "send", mr = q.mr, length = bytes, inline = true, signaled = false }) then
            break
          end
          most = bytes
          if wr < 100 then break end
        end
        answer:value(name .. ", inline bytes", most)
      end
    end) },

    { "connections", with_queues(function(answer, q)
      local far = create(q)
      local to = far:endpoint()
      local function connect(name, with, kind)
        local qp = create(q, { qp_type = kind or "rc" })
        local request = { to = to, timeout = 0 }
        for key, value in pairs(with) do
          request[key] = value
        end
        answer(name, qp.connect, qp, request)
      end
      connect("as usual", {})
      for _, timeout in ipairs { 0, 1, 14, 20, 31 } do
        connect("timeout " .. timeout, { timeout = timeout })
      end
      for _, retries in ipairs { 0, 1, 7 } do
        connect("retries " .. retries, { retry_cnt = retries })
        connect("rnr retries " .. retries, { rnr_retry = retries })
      end
      for _, access in ipairs {
        {}, { "remote_write" }, { "remote_read" }, { "remote_atomic" }, { "remote_write", "remote_read" }, { "remote_read", "remote_atomic" },
      } do
        connect("access " .. table.concat(access, "|"), { access = access })
        connect("uc, access " .. table.concat(access, "|"), { access = access }, "uc")
      end
      for _, port in ipairs { 2, 3, 255 } do
        connect("port " .. port, { port_num = port })
      end
      for _, index in ipairs { 0, 1, 7, 8, 255 } do
        connect("GID " .. index, { sgid_index = index })
        connect("uc, GID " .. index, { sgid_index = index }, "uc")
      end
      connect("to LID 0", { to = { qp_num = to.qp_num, lid = 0, gid = to.gid } })
      connect("to LID 5", { to = { qp_num = to.qp_num, lid = 5, gid = to.gid } })
      connect("to LID 0xffff", { to = { qp_num = to.qp_num, lid = 0xffff, gid = to.gid } })
      connect("to number 0", { to = { qp_num = 0, lid = to.lid, gid = to.gid } })
      connect("to number 0xffffff", { to = { qp_num = 0xffffff, lid = to.lid, gid = to.gid } })
      local a = create(q)
      answer("to itself", a.connect, a, { to = a:endpoint() })
      answer("again", a.connect, a, { to = a:endpoint() })
      answer("activate a connection", a.to_rts, a, {})
      local d = create(q, { qp_type = "ud" })
      answer("connect for datagrams", d.connect, d, { to = to })
      answer("activate", d.to_rts, d, { qkey = 5 })
      answer("activate again", d.to_rts, d, { qkey = 5 })
      local e = create(q, { qp_type = "ud" })
      answer("activate on port 2", e.to_rts, e, { port_num = 2 })
      answer("activate with a privileged key", e.to_rts, e, { qkey = 0x80000000 })
    end) },

    { "addresses", with_queues(function(answer, q)
      local d = create(q, { qp_type = "ud" })
      local to = d:endpoint()
      local function address(name, request)
        local _ah <close> = answer(name, q.pd.create_ah, q.pd, request)
      end
      address("as usual", { to = to })
      address("port 2", { to = to, port_num = 2 })
      for _, index in ipairs { 0, 1, 7, 8, 255 } do
        address("GID " .. index, { to = to, sgid_index = index })
      end
      address("LID 0", { to = { qp_num = to.qp_num, lid = 0, gid = to.gid } })
      address("LID 5", { to = { qp_num = to.qp_num, lid = 5, gid = to.gid } })
      address("LID 0xc001", { to = { qp_num = to.qp_num, lid = 0xc001, gid = to.gid } })
      address("LID 0xffff", { to = { qp_num = to.qp_num, lid = 0xffff, gid = to.gid } })
    end) },

    { "states", with_queues(function(answer, q)
      local a, b = create(q), create(q)
      local request = { opcode = "send", mr = q.mr, length = 8, wr_id = 1 }
      local receive = { mr = q.mr, offset = 16384, length = 8, wr_id = 2 }
      answer("send in RESET", a.post_send, a, request)
      answer("receive in RESET", b.post_recv, b, receive)
      a:connect { to = b:endpoint(), timeout = 0 }
      b:connect { to = a:endpoint(), timeout = 0 }
      answer("receive", b.post_recv, b, receive)
      answer("send", a.post_send, a, request)
      ends(answer, "send", q.cq, 1)
      ends(answer, "what was received", q.recv_cq, 1)
      local d = create(q, { qp_type = "ud" })
      answer("receive in RESET, ud", d.post_recv, d, { mr = q.mr, offset = 16384, length = 64, wr_id = 3 })
      local to <close> = q.pd:create_ah { to = d:endpoint() }
      answer("send in RESET, ud", d.post_send, d, { opcode = "send", mr = q.mr, length = 8, ah = to, remote_qpn = 5 })
    end) },

    { "order of closing", with_queues(function(answer, q)
      local srq = answer("create_srq", q.pd.create_srq, q.pd, { max_wr = 4 })
      local qp = answer("create_qp", create, q, { srq = srq })
      q.made:forget()
      answer("its cq", q.cq.close, q.cq)
      answer("its other cq", q.recv_cq.close, q.recv_cq)
      answer("its srq", srq.close, srq)
      answer("receive on its own queue", qp.post_recv, qp, { mr = q.mr, length = 8 })
      answer("the queue pair", qp.close, qp)
      answer("twice", qp.close, qp)
      local d = create(q, { qp_type = "ud" })
      local ah = answer("create_ah", q.pd.create_ah, q.pd, { to = d:endpoint() })
      d:close()
      q.made:forget()
      q.mr:close()
      answer("the domain with an srq and an address", q.pd.close, q.pd)
      answer("the address", ah.close, ah)
      answer("the domain with an srq", q.pd.close, q.pd)
      answer("the srq", srq.close, srq)
      answer("the domain", q.pd.close, q.pd)
      answer("the cq", q.cq.close, q.cq)
    end) },

    { "completion events", with_queues(function(answer, q)
      local events, send = queues.with_events(answer, q)
      send(1)
      answer("nobody asked", events.wait_event, events, 20)
      answer("poll", function() return #events:poll(16) end)
      answer("ask", events.req_notify, events)
      send(2)
      answer("the next one is", events.wait_event, events, queues.PATIENCE)
      send(3)
      answer("one for each request", events.wait_event, events, 20)
      answer("poll both", function() return #events:poll(16) end)
      answer("ask for solicited", events.req_notify, events, true)
      send(4)
      answer("not solicited", events.wait_event, events, 20)
      send(5, true)
      answer("solicited", events.wait_event, events, queues.PATIENCE)
      answer("completions", function() return #events:poll(16) end)
      for _, row in ipairs { { 0, 0 }, { 1, 0 }, { 4, 10 }, { 65535, 4095 }, { 1, 4096 }, { 1, 65535 } } do
        answer(("moderate %d, %d"):format(row[1], row[2]), events.modify, events, { cq_count = row[1], cq_period = row[2] })
      end
      answer("close in use", events.close, events)
    end) },
  },
}
