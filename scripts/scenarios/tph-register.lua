-- The flow of the series: export a BAR, set a hint on the dma-buf, register it, see what the NIC will send.
local vfio, rdma = require "vfio", require "rdma"
local expect, steering, loopback = require "expect", require "steering", require "loopback"

--- What the NIC sends to a region that was registered with it, as everything that can be asked tells.
local function seen(t, opt, ctx, pd, mr)
  local found, reason = steering.seen {
    t = t, nic = opt.nic, mr = mr, exporter = opt.exporter, send = function() loopback.move(ctx, pd, "rdma_write", mr) end,
  }
  if not found then
    t:skip("registered, but " .. reason)
  end ---@cast found -?
  t:log(found.line)
  return found
end

local hints = { "bidirectional", "requester", "target", "target-priority" }

return {
  name = "tph-register",
  about = "register a VFIO BAR as an mlx5 MR that carries the exporter's steering tag",
  tags = { "tph", "rdma" },
  options = {
    exporter = { type = "pci", default = "auto", memory = "64K", about = "device whose BAR is exported" },
    nic = { type = "rdma", default = "auto", about = "importing NIC" },
    region = { type = "integer", default = 2, min = 0, max = 5, about = "BAR to export" },
    st = { type = "integer", default = 0x42, min = 0, max = 255, about = "8-bit steering tag" },
    ph = { type = "enum", values = hints, default = "target", about = "processing hint" },
  },
  needs = { "vfio.dma_buf", "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  effects = { "open", "dma", "raw" },
  cases = {
    { "the MR carries the tag", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = "64K" } } }
      buf:set_tph { st = opt.st, ph = opt.ph }
      local ctx <close> = rdma.open(opt.nic)
      local pd <close> = ctx:alloc_pd()
      local mr <close> = pd:reg_dmabuf_mr { dmabuf = buf, length = "64K", access = { "local_write", "remote_write" } }
      local found = seen(t, opt, ctx, pd, mr)
      if not found.tag then
        steering.need(t, opt.nic)
      end
      expect.tag(found.tag, opt.st, "steering tag")
      expect.equal(found.ph, opt.ph, "processing hint")
    end },

    { "without a hint the MR carries none", function(t, opt)
      local dev <close> = vfio.open(opt.exporter)
      local buf <close> = dev:export_dmabuf { region_index = opt.region, ranges = { { offset = 0, length = "64K" } } }
      local ctx <close> = rdma.open(opt.nic)
      local pd <close> = ctx:alloc_pd()
      local mr <close> = pd:reg_dmabuf_mr { dmabuf = buf, length = "64K", access = { "local_write", "remote_write" } }
      expect.equal(seen(t, opt, ctx, pd, mr).tag, nil, "steering tag")
    end },
  },
}
