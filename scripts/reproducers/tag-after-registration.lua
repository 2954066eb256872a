-- peerlab run --bench sim:tph-v11 scripts/reproducers/tag-after-registration.lua
local expect, reproducing = require "expect", require "reproducing"

local case = reproducing.nic_case

return {
  name = "tag-after-registration",
  about = "a tag that is set after registration is not in the region that was there",
  tags = { "tph", "rdma" },
  concerns = "DMA_BUF_TPH v2 to v11, mlx5",
  expected = "a region sends the hint that its dma-buf had when it was registered; a later SET is the next region's "
    .. "(in v4 a second SET is EBUSY)",
  seen = "a region that begins to send a hint, or changes it, while it is registered",
  effects = { "open", "dma", "raw" },
  options = reproducing.nic_options {
    first = { type = "integer", default = 0x42, min = 1, max = 255, about = "tag before registration" },
    second = { type = "integer", default = 0x43, min = 1, max = 255, about = "tag set afterwards" },
  },
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  cases = {
    { "a region without a hint gets none by a later SET", case(function(f, opt)
      local buf <close> = f:export()
      local before <close> = f:register(buf)
      buf:set_tph(f:hint(opt.first))
      expect.equal(f:sends(before), "none", "the region that was there")
      local after <close> = f:register(buf)
      expect.equal(f:sends(after), ("0x%02x target"):format(opt.first), "the next region")
      expect.equal(f:sends(before), "none", "the region that was there")
    end) },
    { "a region keeps its hint when another is set", case(function(f, opt)
      local buf <close> = f:export()
      buf:set_tph(f:hint(opt.first))
      local before <close> = f:register(buf)
      local taken = f:replace(buf, f:hint(opt.second, "requester"))
      local first = ("0x%02x target"):format(opt.first)
      expect.equal(f:sends(before), first, "the region that was there")
      local after <close> = f:register(buf)
      expect.equal(f:sends(after), taken and ("0x%02x requester"):format(opt.second) or first, "the next region")
      expect.equal(f:sends(before), first, "the region that was there")
    end) },
    { "a region keeps its hint when that is cleared", case(function(f, opt, t)
      local buf <close> = f:export()
      local _, structure = f:feature()
      if not structure.clears then
        t:skip("v2 to v5 clear no hint")
      end
      buf:set_tph(f:hint(opt.first))
      local before <close> = f:register(buf)
      buf:clear_tph()
      expect.equal(f:sends(before), ("0x%02x target"):format(opt.first), "the region that was there")
      local after <close> = f:register(buf)
      expect.equal(f:sends(after), "none", "the next region")
    end) },
  },
}
