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

-- Milliseconds for the end of a request that may have none.
local LOST <const> = 3000

--- Posts a request and waits for its end, on the queue where sends complete: what happens next finds both ends done.
function queues.send(qp, cq, request)
  qp:post_send(request)
  local ok, list = pcall(cq.wait, cq, 1, LOST)
  return ok and shown(list) or "nothing"
end

return queues
