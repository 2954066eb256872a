-- How long a message takes: to and fro between two roles, half of each round trip.
local rdma, traffic, expect, rdma_pair = require "rdma", require "traffic", require "expect", require "rdma_pair"

--- The largest of `sizes` that the NIC takes inline, which no device tells, so that queue pairs are tried; 0 where it takes
--- none of them.
local function inline_limit(nic, sizes)
  local context <close> = rdma.open(nic)
  local pd <close> = context:alloc_pd()
  local cq <close> = context:create_cq(256)
  local largest_first = table.move(sizes, 1, #sizes, 1, {})
  table.sort(largest_first, function(a, b) return a > b end)
  for _, size in ipairs(largest_first) do
    local ok, qp = pcall(pd.create_qp, pd, { ---@type boolean, any
      send_cq = cq, max_send_wr = 128, max_recv_wr = 128, max_inline_data = size,
    })
    if ok then
      qp:close()
      return size
    elseif qp.name ~= "EINVAL" and qp.name ~= "ENOMEM" then
      error(qp, 0)
    end
  end
  return 0
end

--- Round trips of messages of one size.
local function measure(t, opt, side, name, opcode, size, is_inline)
  local result, histogram = traffic.ping_pong {
    qp = side.qp, opcode = opcode, starts = t:role() == "initiator", mr = side.mr, recv_offset = side.mr:length() // 2, size = size,
    remote_addr = side.peer.addr + side.peer.length // 2, rkey = side.peer.rkey, inline = is_inline,
    count = opt.duration_ms == 0 and opt.count or nil, duration_ms = opt.duration_ms > 0 and opt.duration_ms or nil,
  }
  expect.equal(result.failure, nil, "failure")
  if opt.duration_ms == 0 then
    expect.equal(result.messages, opt.count, "round trips")
  else
    -- Both sides counted the same ones.
    expect.equal(t:exchange(result.messages), result.messages, "round trips of the other role")
  end
  if t:role() == "initiator" then
    local s = histogram:summary()
    t:latencies(name .. " latency", histogram, { size = size })
    t:log(("%d bytes: min %.2f us, p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.2f%s"):format(
      size, s.min_ns / 1e3, s.p50_ns / 1e3, s.p90_ns / 1e3, s.p99_ns / 1e3, s.p999_ns / 1e3, s.max_ns / 1e3,
      rdma_pair.caveat(t)))
  end
  t:barrier()
end

local function latency(name, opcode)
  return function(t, opt)
    local longest = math.max(table.unpack(opt.sizes))
    -- Messages leave from the first half of the memory and arrive in the second.
    local half = math.max((longest + 4095) // 4096 * 4096, 32768)
    local limit = opt.inline and inline_limit(opt.nic, opt.sizes) or 0
    local side <close> = rdma_pair.connect(t, { nic = opt.nic, length = 2 * half, max_inline_data = limit })
    for _, size in ipairs(opt.sizes) do
      if opt.inline and size > limit then
        t:log(("%d bytes are more than %s takes inline: sent from the region"):format(size, opt.nic))
      end
      measure(t, opt, side, name, opcode, size, size <= limit)
    end
  end
end

return {
  name = "rdma-latency",
  about = "latency of one reliable connection, message by message",
  tags = { "rdma", "measurement" },
  roles = { "target", "initiator" },
  options = {
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    count = { type = "integer", default = 1000, min = 10, max = 10000000, about = "round trips of each size" },
    duration_ms = { type = "integer", default = 0, min = 0, max = 3600000, about = "or so long instead; 0: count" },
    sizes = { type = "sizes", default = "8,64,1K,8K", min = 1, max = "16M", about = "bytes of a message, in turn" },
    inline = { type = "boolean", default = false, about = "bytes are taken at once; of sizes over what the NIC takes inline, not" },
  },
  needs = { "rdma" },
  effects = { "open", "dma" },
  cases = { { "write", latency("write", "rdma_write") }, { "send", latency("send", "send") } },
}
