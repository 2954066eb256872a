-- Steering tags by processing hints by message sizes: what each moves. The log is a table, one line a combination, that a
-- spreadsheet takes as CSV; the target says what its region's requests carry.
local vfio, traffic, expect, rdma_pair = require "vfio", require "traffic", require "expect", require "rdma_pair"
local steering = require "steering"

local LENGTH = 65536
local HINTS = { "none", "bidirectional", "requester", "target", "target-priority" }

--- What the requests of a combination carry, a line. `sent`: whether the bench sees those.
local function carried(t, mr, opt, st, ph, sent)
  local found, reason = steering.seen { t = t, nic = opt.nic, mr = mr, exporter = opt.exporter, sent = sent }
  if not found then
    return "the hint is unverified: " .. reason
  end
  if ph == "none" then
    st, ph = nil, nil
  end
  expect.equal(found.tag, st, "steering tag")
  expect.equal(found.ph, ph, "processing hint")
  return found.line
end

return {
  name = "tph-sweep",
  about = "bandwidth of RDMA writes into a BAR by tag, hint and size",
  tags = { "tph", "rdma", "p2p", "measurement", "slow" },
  roles = { "target", "initiator" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "whose BAR is written" },
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR" },
    first = { type = "integer", default = 0x10, min = 0, max = 255, about = "first steering tag" },
    last = { type = "integer", default = 0x40, min = 0, max = 255, about = "last steering tag" },
    step = { type = "integer", default = 0x10, min = 1, max = 255, about = "from tag to tag" },
    sizes = { type = "sizes", default = "64,4K,64K", min = 1, max = LENGTH, about = "bytes of a message, in turn" },
    count = { type = "integer", default = 500, min = 1, max = 10000000, about = "messages of each combination" },
  },
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  effects = { "open", "dma", "raw" },
  cases = {
    { "sweep", function(t, opt)
      local target = t:role() == "target"
      local side <close> = rdma_pair.connect(t, { nic = opt.nic, length = LENGTH })
      local dev = target and side:keep(vfio.open(opt.exporter)) or nil
      if not target then
        t:log("tag,hint,bytes,bytes_per_s,messages_per_s" .. rdma_pair.caveat(t))
      end
      --- One combination: the target exports and registers anew, as a region keeps the hint it was registered with.
      local function combination(st, ph)
        local buf, region, there
        if dev then
          buf = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = LENGTH } } }
          if ph ~= "none" then
            steering.set(opt.nic, buf, st, ph)
          end
          region = side.pd:reg_dmabuf_mr { dmabuf = buf, length = LENGTH, access = { "local_write", "remote_write" } }
          local sees = steering.clear_requests()
          t:send { addr = region:addr(), rkey = region:rkey() }
          t:barrier()
          t:log(carried(t, region, opt, st, ph, sees))
        else
          there = t:receive()
          -- One message is looked at: a log of requests has no room for all of them.
          local one = { qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = there.addr, rkey = there.rkey, size = 64 }
          one.count = 1
          expect.equal(traffic.stream(one).failure, nil, "the first message")
          t:barrier()
        end
        t:barrier()
        if not target then
          for _, size in ipairs(opt.sizes) do
            local result = traffic.stream {
              qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = there.addr, rkey = there.rkey, size = size,
              count = opt.count,
            }
            expect.equal(result.failure and result.failure.status, nil, "completion")
            t:metric("write bandwidth", result.bytes_per_s, {
              unit = "B/s", better = "higher", size = size, st = ph ~= "none" and st or nil, ph = ph ~= "none" and ph or nil,
            })
            t:log(("0x%02x,%s,%d,%.0f,%.0f"):format(st, ph, size, result.bytes_per_s, result.messages_per_s))
          end
        end
        t:barrier()
        if target then
          region:close()
          buf:close()
        end
      end
      combination(0, "none")
      for st = opt.first, opt.last, opt.step do
        for i = 2, #HINTS do
          combination(st, HINTS[i])
        end
      end
    end },
  },
}
