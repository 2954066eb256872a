-- How long a message takes: to and fro between two roles, half of each round trip.
local traffic, expect, rdma_pair = require "traffic", require "expect", require "rdma_pair"

--- Round trips of messages of one size.
local function measure(t, opt, side, name, opcode, size)
  local result, histogram = traffic.ping_pong {
    qp = side.qp, opcode = opcode, starts = t:role() == "initiator", mr = side.mr, recv_offset = side.mr:length() // 2, size = size,
    remote_addr = side.peer.addr + side.peer.length // 2, rkey = side.peer.rkey, inline = opt.inline,
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
    local side <close> = rdma_pair.connect(t, { nic = opt.nic, length = 2 * half, max_inline_data = opt.inline and longest or 0 })
    for _, size in ipairs(opt.sizes) do
      measure(t, opt, side, name, opcode, size)
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
    inline = { type = "boolean", default = false, about = "bytes are taken at once" },
  },
  needs = { "rdma" },
  effects = { "open", "dma" },
  cases = { { "write", latency("write", "rdma_write") }, { "send", latency("send", "send") } },
}
