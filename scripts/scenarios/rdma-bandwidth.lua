-- How much one queue pair moves, or several together: RDMA writes, reads or sends of several sizes, from one role to the
-- other.
local traffic, expect, rdma_pair = require "traffic", require "expect", require "rdma_pair"

--- Receives `count` messages in the background of a stream: as many requests as fit, each posted again.
local function receive_all(side, count, size)
  -- By queue pair: its part of the messages, which it still has to post a request for.
  local left, by_number = {}, {}
  local function post(qp)
    if left[qp] > 0 then
      left[qp] = left[qp] - 1
      qp:post_recv { mr = side.mr, length = size }
    end
  end
  for index, qp in ipairs(side.qps) do
    left[qp] = count // #side.qps + (index <= count % #side.qps and 1 or 0)
    by_number[qp:endpoint().qp_num] = qp
    for _ = 1, 128 do
      post(qp)
    end
  end
  local done = 0
  while done < count do
    for _, completion in ipairs(side.recv_cq:wait(1)) do
      expect.truthy(completion.ok, completion.status)
      post(by_number[completion.qp_num])
      done = done + 1
    end
  end
end

local function bandwidth(name, opcode)
  return function(t, opt)
    local side <close> = rdma_pair.connect(t, {
      nic = opt.nic, length = math.max(table.unpack(opt.sizes)), max_send_wr = opt.depth,
      queue_pairs = opt.queue_pairs,
    })
    for _, size in ipairs(opt.sizes) do
      t:barrier()
      if t:role() == "initiator" then
        local result = traffic.stream {
          qps = side.qps, opcode = opcode, mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = size,
          count = opt.count, warmup = opcode == "send" and 0 or opt.count // 10, depth = opt.depth, batch = opt.batch,
        }
        expect.equal(next(result.failures), nil, "failures")
        expect.equal(result.messages, opt.count, "messages")
        t:metric(name .. " bandwidth", result.bytes_per_s, { unit = "B/s", better = "higher", size = size })
        t:log(("%6d bytes: %9.0f messages/s, processor %3.0f %%%s"):format(
          size, result.messages_per_s, 100 * result.cpu_ns / result.elapsed_ns, rdma_pair.caveat(t)))
      elseif opcode == "send" then
        receive_all(side, opt.count, size)
      end
    end
    t:barrier()
  end
end

return {
  name = "rdma-bandwidth",
  about = "bytes and messages per second of one reliable connection, or of several",
  tags = { "rdma", "measurement" },
  roles = { "target", "initiator" },
  options = {
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    sizes = { type = "sizes", default = "64,4K,64K", min = 1, max = "16M", about = "bytes of a message, in turn" },
    count = { type = "integer", default = 1000, min = 10, max = 10000000, about = "messages of each size" },
    queue_pairs = { type = "integer", default = 1, min = 1, max = 256, about = "connections that have them in turn" },
    depth = { type = "integer", default = 128, min = 1, max = 4096, about = "messages of each on their way" },
    batch = { type = "integer", default = 1, min = 1, max = 1024, about = "messages posted at once" },
  },
  needs = { "rdma" },
  effects = { "open", "dma" },
  cases = {
    { "write", bandwidth("write", "rdma_write") }, { "read", bandwidth("read", "rdma_read") }, { "send", bandwidth("send", "send") },
  },
}
