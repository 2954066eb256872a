-- How much one queue pair moves: RDMA writes, reads or sends of several sizes, from one role to the other.
local traffic, expect, rdma_pair = require "traffic", require "expect", require "rdma_pair"

--- Receives `count` messages in the background of a stream: as many requests as fit, each posted again.
local function receive_all(side, count, size)
  local posted, done = 0, 0
  while done < count do
    while posted < count and posted - done < 128 do
      side.qp:post_recv { mr = side.mr, length = size, wr_id = posted }
      posted = posted + 1
    end
    for _, completion in ipairs(side.recv_cq:wait(1)) do
      expect.truthy(completion.ok, completion.status)
      done = done + 1
    end
  end
end

local function bandwidth(name, opcode)
  return function(t, opt)
    local side <close> = rdma_pair.connect(t, {
      nic = opt.nic, length = math.max(table.unpack(opt.sizes)), max_send_wr = opt.depth,
    })
    for _, size in ipairs(opt.sizes) do
      t:barrier()
      if t:role() == "initiator" then
        local result = traffic.stream {
          qp = side.qp, opcode = opcode, mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = size,
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
  about = "bytes and messages per second of one reliable connection",
  tags = { "rdma", "measurement" },
  roles = { "target", "initiator" },
  options = {
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    sizes = { type = "sizes", default = "64,4K,64K", min = 1, max = "16M", about = "bytes of a message, in turn" },
    count = { type = "integer", default = 1000, min = 10, max = 10000000, about = "messages of each size" },
    depth = { type = "integer", default = 128, min = 1, max = 4096, about = "messages on their way" },
    batch = { type = "integer", default = 1, min = 1, max = 1024, about = "messages posted at once" },
  },
  needs = { "rdma" },
  effects = { "open", "dma" },
  cases = {
    { "write", bandwidth("write", "rdma_write") }, { "read", bandwidth("read", "rdma_read") }, { "send", bandwidth("send", "send") },
  },
}
