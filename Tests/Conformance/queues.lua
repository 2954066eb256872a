--- What the conformance files about queue pairs share.
local rdma, memory, answers, scope = require "rdma", require "memory", require "answers", require "scope"

local queues = {}

queues.ALL = { "local_write", "remote_write", "remote_read", "remote_atomic" }

--- Hands over a recorder and what every queue pair needs: `pd`, `cq` (sends), `recv_cq`, `host`, `mr` of 64 KiB.
function queues.case(body)
  return function(t, opt)
    local context <close> = rdma.open(opt.nic)
    local pd <close> = context:alloc_pd()
    local host <close> = memory.alloc("64K")
    local mr <close> = pd:reg_mr { memory = host, access = queues.ALL }
    local cq <close> = context:create_cq(64)
    local recv_cq <close> = context:create_cq(64)
    -- What a case creates is closed before what it hangs on, the last first.
    local made <close> = scope.open()
    body(answers.new(t), {
      context = context, pd = pd, host = host, mr = mr, cq = cq, recv_cq = recv_cq, made = made,
    })
  end
end

function queues.create(q, with)
  local request = { send_cq = q.cq, recv_cq = q.recv_cq, max_send_wr = 8, max_recv_wr = 8, max_inline_data = 64 }
  for key, value in pairs(with or {}) do
    request[key] = value
  end
  local qp = q.pd:create_qp(request)
  return q.made:keep(qp)
end

-- Milliseconds after which what has to come counts as lost. No answer may depend on how fast the machine is, so it is long.
queues.PATIENCE = 120000

--- Two connected queue pairs of a type. Nothing gets lost between them, so `timeout` is 0: a peer that is slow is none that is
--- gone (a driver's own timer of a millisecond made RETRY_EXC_ERR of any answer). What is not received is told by the peer.
function queues.pair(q, kind, with)
  local a, b = queues.create(q, { qp_type = kind }), queues.create(q, with or { qp_type = kind })
  a:connect { to = b:endpoint(), timeout = 0, rnr_retry = 1 }
  b:connect { to = a:endpoint(), timeout = 0, rnr_retry = 1 }
  return a, b
end

--- How requests ended, by their ids.
function queues.ends(answer, name, cq, count)
  local list = {}
  answer(name .. ": completions", function()
    list = cq:wait(count, queues.PATIENCE)
    return #list
  end)
  for i, completion in ipairs(list) do
    answer:value(("%s: completion %d"):format(name, i), ("%d %s"):format(completion.wr_id, completion.status))
    if completion.ok then
      answer:value(("%s: completion %d is a"):format(name, i), completion.opcode)
    end
  end
  return list
end

--- A completion queue with events where what one of two connected queue pairs receives completes, and `send(id, solicited)`, which
--- has the other send to it.
function queues.with_events(answer, q)
  local events = answer("create_cq with events", q.context.create_cq, q.context, 16, { events = true })
  q.made:keep(events)
  local plain = q.recv_cq
  q.recv_cq = events
  local a, b = queues.pair(q, "rc")
  q.recv_cq = plain
  answer("an event of a queue without", q.cq.req_notify, q.cq)
  return events, function(id, solicited)
    b:post_recv { mr = q.mr, offset = 16384, length = 64, wr_id = id }
    a:post_send { opcode = "send", mr = q.mr, length = 8, wr_id = id, solicited = solicited }
    queues.ends(answer, "send " .. id, q.cq, 1)
  end
end

--- A shared receive queue with four receive requests, and two queue pairs whose peers receive from it.
function queues.with_shared(answer, q)
  local srq = q.made:keep(q.pd:create_srq { max_wr = 4 })
  local a = queues.pair(q, "rc", { srq = srq })
  local c = queues.pair(q, "rc", { srq = srq })
  for id = 1, 4 do
    answer("receive " .. id, srq.post_recv, srq, { mr = q.mr, offset = 16384 + 64 * id, length = 64, wr_id = id })
  end
  return srq, a, c
end

-- Milliseconds after which nothing more is to come of what nothing may come of.
local QUIET <const> = 400

local function shown(list)
  local parts = {}
  for i, completion in ipairs(list) do
    parts[i] = ("%d %s"):format(completion.wr_id, completion.status)
  end
  return #parts > 0 and table.concat(parts, ", ") or "nothing"
end

--- All completions that are there, or that come.
function queues.drain(cq)
  local all = {}
  while true do
    local ok, list = pcall(cq.wait, cq, 1, QUIET)
    if not ok then
      return shown(all)
    end
    all[#all + 1] = list[1]
  end
end

--- Memory windows: what may be allocated and bound, what a peer reaches by one, and what ends them. `is_unchecked` leaves out
--- what the emulated ConnectX binds against the specification (C10-73 to C10-75).
function queues.windows(answer, q, is_unchecked)
  local access = { "local_write", "remote_write", "remote_read", "remote_atomic", "mw_bind" }
  local mr = q.made:keep(q.pd:reg_mr { memory = q.host, access = access })
  local local_only = q.made:keep(q.pd:reg_mr { memory = q.host, access = { "mw_bind" } })
  --- A connection whose second end has a window bound so; the window, and whether that went well.
  local function bound(name, with, use)
    local a, b = queues.pair(q, "rc")
    local mw = q.pd:alloc_mw()
    local request = { opcode = "bind_mw", mw = mw, mr = mr, offset = 8192, length = 4096, wr_id = 1,
      mw_access_flags = { "remote_write", "remote_read" } }
    for key, value in pairs(with) do
      request[key] = value
    end
    local old = mw:rkey()
    local ok, failure = pcall(b.post_send, b, request)
    answer:value(name .. ", post", ok and "ok" or failure.name)
    if ok then
      local list = queues.ends(answer, name, q.cq, 1)
      answer:value(name .. ", the same key but for a byte", old >> 8 == mw:rkey() >> 8)
      if list[1] and list[1].ok and use then
        use(a, mw, b)
      end
    end
    queues.drain(q.cq)
    mw:close()
    q.made:forget():close()
    q.made:forget():close()
  end
  --- One request by the window.
  local start = mr:addr()
  local function by(name, a, mw, with)
    local request = { opcode = "rdma_write", mr = q.mr, length = 64, remote_addr = start + 8192, rkey = mw:rkey(), wr_id = 2 }
    for key, value in pairs(with) do
      request[key] = value
    end
    a:post_send(request)
    queues.ends(answer, name, q.cq, 1)
  end
  for _, kind in ipairs { 1, 2 } do
    local mw = answer("alloc_mw " .. kind, q.pd.alloc_mw, q.pd, kind)
    answer("dealloc_mw " .. kind, mw.close, mw)
  end
  bound("bound", {}, function(a, mw)
    by("write", a, mw, {})
    by("read", a, mw, { opcode = "rdma_read" })
    by("its last bytes", a, mw, { remote_addr = mr:addr() + 8192 + 4096 - 64 })
    by("before it", a, mw, { remote_addr = mr:addr() + 8192 - 64 })
  end)
  for _, each in ipairs {
    { "behind it", function(_) return { remote_addr = mr:addr() + 8192 + 4096 - 63 } end },
    { "what it does not grant", function(_) return { opcode = "atomic_fetch_and_add", length = 8 } end },
    { "with its old key", function(mw) return { rkey = mw:rkey() - 1 } end },
    { "with another lowest byte", function(mw) return { rkey = mw:rkey() ~ 0x80 } end },
    { "outside the region", function(_) return { remote_addr = mr:addr() + 65536 } end },
  } do
    bound(each[1] .. ", bound", {}, function(a, mw)
      by(each[1], a, mw, each[2](mw))
    end)
  end
  bound("by a third", {}, function(_, mw)
    local c = queues.pair(q, "rc")
    by("by another connection", c, mw, {})
    q.made:forget():close()
    q.made:forget():close()
  end)
  bound("from zero", { mw_access_flags = { "remote_write", "zero_based" } }, function(a, mw)
    by("at 0", a, mw, { remote_addr = 0 })
    by("at 4032", a, mw, { remote_addr = 4032 })
    by("behind it, from zero", a, mw, { remote_addr = 4096 })
  end)
  bound("twice", {}, function(_, mw, b)
    b:post_send { opcode = "bind_mw", mw = mw, mr = mr, length = 64, mw_access_flags = { "remote_write" }, wr_id = 3 }
    queues.ends(answer, "the second time", q.cq, 1)
  end)
  bound("a key of one's own", { rkey = 0x5a }, function(a, mw)
    answer:value("its lowest byte", mw:rkey() & 0xff)
    by("a write", a, mw, {})
  end)
  bound("no rights", { mw_access_flags = {} })
  bound("to read, without local write", { mr = local_only, mw_access_flags = { "remote_read" } }, function(a, mw)
    by("read, without local write", a, mw, { opcode = "rdma_read" })
    by("a write, without local write", a, mw, {})
  end)
  bound("length 0", { length = 0 })
  bound("all of it", { offset = 0, length = 65536 })
  if not is_unchecked then
    bound("local write", { mr = local_only })
    bound("no right to bind", { mr = q.mr })
    bound("over the end", { offset = 65536 - 4095, length = 4096 })
    bound("far away", { offset = 1 << 40, length = 4096 })
  end
  do
    local first <close> = q.pd:alloc_mw(1)
    bound("type 1", { mw = first })
  end
  bound("its region goes first", {}, function(a, mw)
    answer("dereg_mr, bound", mr.close, mr)
    by("a write when its region was to go", a, mw, {})
  end)
end

-- Milliseconds for the end of a request that may have none.
local LOST <const> = 3000

--- Posts a request and waits for its end, on the queue where sends complete: what happens next finds both ends done.
function queues.send(qp, cq, request)
  qp:post_send(request)
  local ok, list = pcall(cq.wait, cq, 1, LOST)
  return ok and shown(list) or "nothing"
end

return queues
