-- The whole way: a device's BAR becomes a dma-buf with a hint, the NIC beside it registers that, and another NIC (or the
-- same) writes into the BAR over RDMA; every byte is checked in the BAR, and what tells of the hint is reported.
local vfio, traffic = require "vfio", require "traffic"
local expect, steering, rdma_pair = require "expect", require "steering", require "rdma_pair"

local LENGTH = 65536

--- What there is to say of the hint in the region's requests, a line. `sent`: whether the bench sees those.
local function evidence(t, mr, opt, sent)
  local found, reason = steering.seen { t = t, nic = opt.nic, mr = mr, exporter = opt.exporter, sent = sent }
  if not found then
    return "the hint is unverified: " .. reason
  end
  expect.equal(found.tag, opt.st, "steering tag")
  expect.equal(found.ph, opt.ph, "processing hint")
  return found.line
end

return {
  name = "tph-p2p-write",
  about = "RDMA writes into a VFIO device's BAR, with the hint that its exporter set",
  tags = { "tph", "rdma", "p2p" },
  roles = { "target", "initiator" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "whose BAR is written" },
    nic = { type = "rdma", default = "auto", about = "RDMA device of both roles" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "a memory BAR" },
    st = { type = "integer", default = 0x42, min = 0, max = 255, about = "8-bit steering tag" },
    ph = { type = "enum", values = { "bidirectional", "requester", "target", "target-priority" }, default = "target",
      about = "processing hint" },
    size = { type = "size", default = 4096, min = 1, max = LENGTH, about = "bytes of a message" },
    windows = { type = "integer", default = 4, min = 1, max = 1000000, about = "how often the BAR is filled" },
  },
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  effects = { "open", "region_write", "dma", "raw" },
  cases = {
    { "every byte arrives, and the hint is told of", function(t, opt)
      local slots, region, mapped = LENGTH // opt.size, nil, nil
      local sees = steering.clear_requests()
      local side <close> = rdma_pair.connect(t, {
        nic = opt.nic, length = LENGTH,
        register = t:role() == "target" and function(side)
          local dev = side:keep(vfio.open(opt.exporter))
          local buf = side:keep(dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = LENGTH } } })
          buf:set_tph { st = opt.st, ph = opt.ph }
          mapped = side:keep(dev:mmap(opt.region, { length = LENGTH }))
          region = side.pd:reg_dmabuf_mr { dmabuf = buf, length = LENGTH, access = { "local_write", "remote_write" } }
          return region
        end,
      })
      for window = 0, opt.windows - 1 do
        local stamp = { size = opt.size, slots = slots, first_message = window * slots }
        if t:role() == "initiator" then
          stamp.memory = side.host
          traffic.stamp(stamp)
          local result = traffic.stream {
            qp = side.qp, opcode = "rdma_write", mr = side.mr, remote_addr = side.peer.addr, rkey = side.peer.rkey,
            size = opt.size, slots = slots, count = slots,
          }
          expect.equal(result.failure and result.failure.status, nil, "completion")
          t:barrier()
        else
          t:barrier()
          stamp.memory = mapped
          local wrong = traffic.check(stamp)
          expect.equal(wrong and wrong.text, nil, "window " .. window)
        end
        t:barrier()
      end
      if t:role() == "target" then
        t:log(("%d messages of %d bytes are in the BAR as they were sent"):format(opt.windows * slots, opt.size))
        t:log(evidence(t, region, opt, sees))
      end
      t:barrier()
    end },
  },
}
