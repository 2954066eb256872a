-- How long a NIC takes to write into a BAR, and to read from it: from each post to its completion, one message on its way.
-- `target=host` measures the same with host memory: `peerlab ab --set target=host --set-b target=bar` compares.
local vfio, traffic, expect, rdma_pair = require "vfio", require "traffic", require "expect", require "rdma_pair"
local fail = require("case").fail

--- The region that the initiator reaches: a dma-buf of the exporter's BAR; nil for the side's own host memory.
local function bar(t, opt, length)
  return t:role() == "target" and opt.target == "bar" and function(side)
    local dev = side:keep(vfio.open(opt.exporter))
    local size = dev:region_info(opt.region).size
    if length > size then
      fail(("region %d has %d bytes, and the sizes need %d"):format(opt.region, size, length))
    end
    local buf = side:keep(dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = length } } })
    return side.pd:reg_dmabuf_mr { dmabuf = buf, length = length, access = { "local_write", "remote_write", "remote_read" } }
  end or nil
end

local function latency(name, opcode)
  return function(t, opt)
    local longest = math.max(table.unpack(opt.sizes))
    -- Whole pages, as the export takes.
    local length = (longest + 4095) // 4096 * 4096
    local side <close> = rdma_pair.connect(t, { nic = opt.nic, length = length, register = bar(t, opt, length) })
    for _, size in ipairs(opt.sizes) do
      t:barrier()
      if t:role() == "initiator" then
        local result, histogram = traffic.stream {
          qp = side.qp, opcode = opcode, mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey, size = size,
          count = opt.count, warmup = opt.count // 10, depth = 1, latency = true,
        }
        expect.equal(result.failure and result.failure.status, nil, "completion")
        expect.equal(result.messages, opt.count, "messages")
        local s = assert(histogram):summary()
        t:latencies(name .. " latency", histogram, { size = size })
        t:log(("%d bytes: min %.2f us, p50 %.2f, p99 %.2f, max %.2f%s"):format(
          size, s.min_ns / 1e3, s.p50_ns / 1e3, s.p99_ns / 1e3, s.max_ns / 1e3, rdma_pair.caveat(t)))
      end
    end
    t:barrier()
  end
end

return {
  name = "p2p-latency",
  about = "latency of RDMA writes into a BAR and reads from it, post to completion",
  tags = { "rdma", "p2p", "measurement" },
  roles = { "target", "initiator" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "whose BAR is the target" },
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR" },
    target = { type = "enum", values = { "bar", "host" }, default = "bar", about = "the BAR, or host memory instead" },
    sizes = { type = "sizes", default = "8,64,4K,64K", min = 1, max = "1G", about = "bytes of a message, in turn" },
    count = { type = "integer", default = 1000, min = 10, max = 10000000, about = "messages of each size" },
  },
  needs = { "vfio.dma_buf", "rdma.reg_dmabuf_mr" },
  effects = { "open", "dma" },
  cases = { { "write", latency("write", "rdma_write") }, { "read", latency("read", "rdma_read") } },
}
