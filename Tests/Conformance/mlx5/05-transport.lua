-- How work requests of mlx5 end: what each operation does over each transport, every way in which keys, ranges and rights are
-- wrong, and what both ends are told.
local memory = require "memory"
local queues = require "queues"

local with_queues, create, pair, ends, ALL = queues.case, queues.create, queues.pair, queues.ends, queues.ALL
local KEY <const> = 0x11111111
local FAR <const> = 32768

--- What is there of completions; what comes later than the end of another request is not asked for.
local function left(answer, name, cq)
  for i, completion in ipairs(cq:poll(64)) do
    answer:value(("%s, %d"):format(name, i), ("%d %s"):format(completion.wr_id, completion.status))
  end
end

--- An asynchronous event of the context, without numbers.
local function event(answer, q, name)
  answer(name, function() return q.context:wait_event(queues.PATIENCE).event_type end)
end

--- One request on a new connection, how it ends at both ends, and that both are in error afterwards.
local function fails(answer, q, name, kind, request, with)
  with = with or {}
  local a, b = create(q, { qp_type = kind }), create(q, { qp_type = kind })
  a:connect { to = b:endpoint(), timeout = 0, rnr_retry = 1 }
  b:connect { to = a:endpoint(), timeout = 0, rnr_retry = 1, access = with.access }
  if with.receive then
    b:post_recv { mr = with.receive_mr or q.mr, offset = 16384, length = with.receive, wr_id = 50 }
  end
  local all = { opcode = "rdma_write", mr = q.mr, length = 64, remote_addr = q.mr:addr() + FAR, rkey = q.mr:rkey(), wr_id = 1 }
  for key, value in pairs(request) do
    all[key] = value
  end
  if not pcall(function() answer(name .. ", post", a.post_send, a, all) end) then
    answer:value(name .. ", post", "refused")
    return
  end
  ends(answer, name, q.cq, 1)
  if with.receive and not with.untold then
    ends(answer, name .. ", the receiver", q.recv_cq, 1)
  end
  if with.event then
    event(answer, q, name .. ", the event")
  end
  answer(name .. ", the next", a.post_send, a,
    { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr() + FAR, rkey = q.mr:rkey(), wr_id = 2 })
  ends(answer, name .. ", the next", q.cq, 1)
  for _ = 1, 2 do
    q.made:forget():close()
  end
  left(answer, name .. ", left", q.cq)
end

--- Every operation where all is right.
local function works(kind)
  return with_queues(function(answer, q)
    local a, b = pair(q, kind)
    local opcodes = kind == "rc" and { "rdma_write", "rdma_write_with_imm", "send", "send_with_imm", "rdma_read", "atomic_fetch_and_add", "atomic_cmp_and_swp" }
      or { "rdma_write", "rdma_write_with_imm", "send", "send_with_imm" }
    for id, opcode in ipairs(opcodes) do
      local is_atomic = opcode == "atomic_fetch_and_add" or opcode == "atomic_cmp_and_swp"
      for _, length in ipairs(is_atomic and { 8 } or { 0, 1, 8, 64, 4096, 5000 }) do
        local name = ("%s of %d"):format(opcode, length)
        q.host:fill(0, 8192, id)
        q.host:fill(FAR, 8192, 0x40 + id)
        local takes = opcode:find "send" or opcode == "rdma_write_with_imm"
        if takes then
          b:post_recv { mr = q.mr, offset = 16384, length = 8192, wr_id = 100 + id }
        end
        answer(name .. ", post", a.post_send, a, {
          opcode = opcode, mr = q.mr, length = length, remote_addr = q.mr:addr() + FAR, rkey = q.mr:rkey(), wr_id = id,
          imm_data = opcode:find "imm" and 7 or nil, compare_add = is_atomic and 3 or nil, swap = opcode == "atomic_cmp_and_swp" and 4 or nil,
        })
        local got = ends(answer, name, q.cq, 1)[1] or {}
        if opcode == "rdma_read" or is_atomic then
          answer:value(name .. ", bytes", got.byte_len) -- of the others libibverbs leaves it open
        end
        if takes then
          got = ends(answer, name .. ", the receiver", q.recv_cq, 1)[1] or {}
          answer:value(name .. ", received", { bytes = got.byte_len, imm_data = got.imm_data, opcode = got.opcode })
        end
        answer:value(name .. ", near", q.host:read(0, 8192))
        answer:value(name .. ", far", q.host:read(FAR, 8192))
        answer:value(name .. ", where it is received", q.host:read(16384, 8192))
      end
    end
  end)
end

--- What a region or connection must allow for a request.
local GRANTS <const> = {
  rdma_write = "remote_write", rdma_write_with_imm = "remote_write", rdma_read = "remote_read",
  atomic_fetch_and_add = "remote_atomic", atomic_cmp_and_swp = "remote_atomic",
}

--- Requests that the responder must not do.
local function refused(opcode)
  return with_queues(function(answer, q)
    local second <close> = q.context:alloc_pd()
    local foreign <close> = second:reg_mr { memory = q.host, access = ALL }
    local closed = q.pd:reg_mr { memory = q.host, access = ALL }
    local key = closed:rkey()
    closed:close()
    local length = (opcode == "atomic_fetch_and_add" or opcode == "atomic_cmp_and_swp") and 8 or 64
    local base = q.mr:addr()
    local function refuse(name, request, with)
      request.opcode, request.length = opcode, length
      with = with or {}
      if opcode == "rdma_write_with_imm" then with.receive, with.untold = 64, true end
      fails(answer, q, name, "rc", request, with)
      q.recv_cq:poll(64)
    end
    refuse("a key that is none", { rkey = 0xdead00 })
    refuse("key 0", { rkey = 0 })
    refuse("a key's other variant", { rkey = q.mr:rkey() ~ 0x80 })
    refuse("a closed region's", { rkey = key })
    refuse("another domain's", { rkey = foreign:rkey() })
    refuse("before the region", { remote_addr = base - 8 })
    refuse("over the end", { remote_addr = base + 65536 - length + 8 })
    refuse("at the end", { remote_addr = base + 65536 })
    refuse("far away", { remote_addr = base + (1 << 40) })
    for _, access in ipairs {
      {}, { "local_write" }, { "local_write", "remote_write" }, { "remote_read" }, { "local_write", "remote_atomic" },
    } do
      local mr <close> = q.pd:reg_mr { memory = q.host, access = access }
      if not table.concat(access, "|"):find(GRANTS[opcode]) then
        refuse("a region with " .. (#access > 0 and table.concat(access, "|") or "nothing"), { rkey = mr:rkey() })
      end
    end
    for _, access in ipairs { {}, { "remote_read" }, { "remote_write" }, { "remote_atomic" } } do
      if access[1] ~= GRANTS[opcode] then
        refuse("a connection that allows " .. (access[1] or "nothing"), {}, { access = access })
      end
    end
  end)
end

--- What is wrong with the requester's own memory.
local function own(kind)
  return with_queues(function(answer, q)
    local second <close> = q.context:alloc_pd()
    local foreign <close> = second:reg_mr { memory = q.host, access = ALL }
    local readonly <close> = q.pd:reg_mr { memory = q.host }
    for _, opcode in ipairs(kind == "rc" and { "rdma_write", "send", "rdma_read", "atomic_fetch_and_add" } or { "rdma_write", "send" }) do
      local length = opcode == "atomic_fetch_and_add" and 8 or 64
      fails(answer, q, opcode .. " of another domain's region", kind, { opcode = opcode, mr = foreign, length = length },
        { receive = opcode == "send" and 64 or nil, untold = true })
      q.recv_cq:poll(64)
      fails(answer, q, opcode .. " of a region to read", kind, { opcode = opcode, mr = readonly, length = length },
        { receive = opcode == "send" and 64 or nil, untold = true })
      q.recv_cq:poll(64)
    end
  end)
end

local cases = {
  { "rc", works "rc" },
  { "uc", works "uc" },
  { "rc, the requester's memory", own "rc" },
  { "uc, the requester's memory", own "uc" },

  { "uc, what the responder must not do", with_queues(function(answer, q)
    for _, row in ipairs {
      { "a key that is none", { rkey = 0xdead00 } }, { "over the end", { remote_addr = q.mr:addr() + 65536 } },
      { "a connection that allows nothing", {}, { access = {} } },
      { "no receive request", { opcode = "send" } },
    } do
      fails(answer, q, row[1], "uc", row[2], row[3])
    end
  end) },

  { "receives", with_queues(function(answer, q)
    local second <close> = q.context:alloc_pd()
    local foreign <close> = second:reg_mr { memory = q.host, access = ALL }
    local readonly <close> = q.pd:reg_mr { memory = q.host }
    for _, kind in ipairs { "rc", "uc" } do
      fails(answer, q, kind .. ", one that is too short", kind, { opcode = "send" }, { receive = 8 })
      fails(answer, q, kind .. ", of another domain's region", kind, { opcode = "send" }, { receive = 64, receive_mr = foreign })
      fails(answer, q, kind .. ", of a region to read", kind, { opcode = "send" }, { receive = 64, receive_mr = readonly })
      fails(answer, q, kind .. ", of nothing for nothing", kind, { opcode = "send", length = 0 }, { receive = 0 })
    end
    fails(answer, q, "none", "rc", { opcode = "send" })
    fails(answer, q, "none for a write", "rc", { opcode = "rdma_write_with_imm" })
  end) },

  { "atomics that are not whole", with_queues(function(answer, q)
    for _, opcode in ipairs { "atomic_fetch_and_add", "atomic_cmp_and_swp" } do
      for at = 1, 7, 3 do
        fails(answer, q, ("%s at %d"):format(opcode, at), "rc", { opcode = opcode, length = 8, remote_addr = q.mr:addr() + FAR + at })
      end
    end
  end) },

  { "work for nobody", with_queues(function(answer, q)
    local a, b = create(q), create(q)
    a:connect { to = { qp_num = 0xfffff0, lid = b:endpoint().lid, gid = b:endpoint().gid }, timeout = 1, retry_cnt = 1 }
    a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = q.mr:rkey(), wr_id = 1 }
    ends(answer, "a number that is none", q.cq, 1)
    local c = create(q)
    c:connect { to = b:endpoint(), timeout = 1, retry_cnt = 1 }
    c:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = q.mr:rkey(), wr_id = 2 }
    ends(answer, "one that is not connected", q.cq, 1)
    local d = create(q)
    d:connect { to = { qp_num = b:endpoint().qp_num, lid = 77, gid = b:endpoint().gid }, timeout = 1, retry_cnt = 1 }
    d:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = q.mr:rkey(), wr_id = 3 }
    ends(answer, "a LID that is none", q.cq, 1)
  end) },

  { "a peer that is gone", with_queues(function(answer, q)
    local a, b = create(q), create(q)
    a:connect { to = b:endpoint(), timeout = 1, retry_cnt = 1 }
    b:connect { to = a:endpoint(), timeout = 1, retry_cnt = 1 }
    b:close()
    q.made:forget()
    for id = 1, 3 do
      a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = q.mr:rkey(), wr_id = id }
    end
    ends(answer, "three writes", q.cq, 3)
  end) },

  { "what is flushed", with_queues(function(answer, q)
    local a, b = pair(q, "rc")
    for id = 1, 4 do
      a:post_recv { mr = q.mr, length = 8, wr_id = 10 + id }
      b:post_recv { mr = q.mr, length = 8, wr_id = 20 + id }
    end
    a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = 0, wr_id = 1 }
    for id = 2, 4 do
      a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = q.mr:rkey(), wr_id = id, signaled = false }
    end
    ends(answer, "sends", q.cq, 4)
    ends(answer, "receives of both", q.recv_cq, 8)
    answer("a receive afterwards", a.post_recv, a, { mr = q.mr, length = 8, wr_id = 30 })
    ends(answer, "it", q.recv_cq, 1)
  end) },

  { "datagrams", with_queues(function(answer, q)
    local a, b = create(q, { qp_type = "ud" }), create(q, { qp_type = "ud" })
    a:to_rts {}
    b:to_rts { qkey = KEY }
    local to <close> = q.pd:create_ah { to = b:endpoint() }
    local global <close> = q.pd:create_ah { to = b:endpoint(), sgid_index = 0 }
    local astray <close> = q.pd:create_ah { to = { qp_num = 1, lid = 99, gid = b:endpoint().gid } }
    local function send(name, with)
      local request = { opcode = "send", mr = q.mr, length = 64, ah = to, remote_qpn = b:endpoint().qp_num, wr_id = 1 }
      for key, value in pairs(with or {}) do
        request[key] = value
      end
      answer("post " .. name, a.post_send, a, request)
      ends(answer, name, q.cq, 1)
    end
    local function receive(id, length)
      b:post_recv { mr = q.mr, offset = 16384, length = length or 8192, wr_id = id }
    end
    local function received(name)
      local got = ends(answer, name, q.recv_cq, 1)[1] or {}
      answer:value(name .. ", what", { bytes = got.byte_len, imm_data = got.imm_data, opcode = got.opcode, mine = got.src_qp == a:endpoint().qp_num })
      answer:value(name .. ", its bytes", q.host:read(16384 + 40, 4200))
    end
    q.host:fill(0, 8192, 0xa5)
    for id, length in ipairs { 0, 1, 64, 1024, 4095, 4096 } do
      receive(id)
      send("one of " .. length, { length = length })
      received("recv of " .. length)
    end
    receive(7)
    send("one with a GID", { ah = global })
    received("recv of one with a GID")
    send("one that nobody receives", {})
    receive(8)
    send("with a wrong key", { remote_qkey = 5 })
    send("to a number that is none", { remote_qpn = 0xfffff0 })
    send("to a LID that is none", { ah = astray })
    send("with immediate data", { opcode = "send_with_imm", imm_data = 9 })
    received("recv after those")
    answer("without an address", a.post_send, a, { opcode = "send", mr = q.mr, length = 8 })
  end) },

  { "datagrams that are too long", with_queues(function(answer, q)
    local a, b = create(q, { qp_type = "ud" }), create(q, { qp_type = "ud" })
    a:to_rts {}
    b:to_rts { qkey = KEY }
    local to <close> = q.pd:create_ah { to = b:endpoint() }
    a:post_send { opcode = "send", mr = q.mr, length = 4097, ah = to, remote_qpn = b:endpoint().qp_num, wr_id = 1 }
    ends(answer, "than a packet", q.cq, 1)
    local c = create(q, { qp_type = "ud" })
    c:to_rts {}
    b:post_recv { mr = q.mr, offset = 16384, length = 64, wr_id = 2 }
    c:post_send { opcode = "send", mr = q.mr, length = 64, ah = to, remote_qpn = b:endpoint().qp_num, wr_id = 3 }
    ends(answer, "than the receive request", q.cq, 1)
    ends(answer, "than the receive request, recv", q.recv_cq, 1)
  end) },

  { "a shared receive queue", with_queues(function(answer, q)
    local srq, a, c = queues.with_shared(answer, q)
    answer("limit", srq.modify, srq, { srq_limit = 3 })
    a:post_send { opcode = "send", mr = q.mr, length = 8, wr_id = 10 }
    ends(answer, "from the first", q.cq, 1)
    ends(answer, "recv of the first", q.recv_cq, 1)
    c:post_send { opcode = "send_with_imm", imm_data = 3, mr = q.mr, length = 8, wr_id = 11 }
    ends(answer, "from the second", q.cq, 1)
    ends(answer, "recv of the second", q.recv_cq, 1)
    event(answer, q, "the limit's event")
    c:post_send { opcode = "rdma_write_with_imm", imm_data = 3, mr = q.mr, length = 8, remote_addr = q.mr:addr() + FAR, rkey = q.mr:rkey(), wr_id = 12 }
    ends(answer, "a write from the second", q.cq, 1)
    ends(answer, "recv of the write", q.recv_cq, 1)
    c:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = 0, rkey = 0, wr_id = 13 }
    ends(answer, "a wrong one", q.cq, 1)
    event(answer, q, "its event")
    event(answer, q, "another")
    a:post_send { opcode = "send", mr = q.mr, length = 8, wr_id = 14 }
    ends(answer, "the first goes on", q.cq, 1)
    ends(answer, "recv of it", q.recv_cq, 1)
  end) },

  { "a completion queue that is full", with_queues(function(answer, q)
    local small = q.context:create_cq(1)
    q.made:keep(small)
    local cq = q.cq
    q.cq = small
    local a, b = create(q, { max_send_wr = 64 }), create(q)
    q.cq = cq
    a:connect { to = b:endpoint(), timeout = 0 }
    b:connect { to = a:endpoint(), timeout = 0 }
    for id = 1, 2 do
      a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr() + FAR, rkey = q.mr:rkey(), wr_id = id }
    end
    ends(answer, "as many as fit", small, 2)
    for id = 3, 12 do
      answer("post " .. id, a.post_send, a,
        { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr() + FAR, rkey = q.mr:rkey(), wr_id = id })
    end
    event(answer, q, "the event")
  end) },

  { "keys that are used again", with_queues(function(answer, q)
    local a, _b = pair(q, "rc")
    local more <close> = memory.alloc("64K")
    local one = q.pd:reg_mr { memory = q.host, access = ALL }
    local key = one:rkey()
    one:close()
    local two <close> = q.pd:reg_mr { memory = more, access = ALL }
    answer:value("the same key", two:rkey() == key)
    a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = two:addr(), rkey = key, wr_id = 1 }
    ends(answer, "a write to the second", q.cq, 1)
    a:post_send { opcode = "rdma_write", mr = q.mr, length = 8, remote_addr = q.mr:addr(), rkey = key, wr_id = 2 }
    ends(answer, "a write to the first", q.cq, 1)
  end) },
}

for _, opcode in ipairs { "rdma_write", "rdma_write_with_imm", "rdma_read", "atomic_fetch_and_add", "atomic_cmp_and_swp" } do
  cases[#cases + 1] = { opcode .. ", what the responder must not do", refused(opcode) }
end

return {
  name = "conformance-mlx5-transport",
  about = "how work requests of mlx5 end",
  options = { nic = { type = "rdma", default = "auto", about = "the NIC" } },
  cases = cases,
}
