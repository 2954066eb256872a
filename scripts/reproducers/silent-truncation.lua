-- peerlab run --bench sim:mlx5-extended scripts/reproducers/silent-truncation.lua
-- Also sim:standard (v2), sim:tph-v3 to sim:tph-v11, sim:lab-importer-tph-v2, and --bench lab --lab-importer --lab-tph
-- v2 or v6@14.
local expect, feature, reproducing = require "expect", require "tph_feature", require "reproducing"

local WIDE = 0x1234

return {
  name = "silent-truncation",
  about = "a tag above 0xff is refused where 8 bits are meant, not cut",
  tags = { "tph", "rdma", "importer" },
  concerns = "DMA_BUF_TPH v2 and v3, whose 8-bit tag is a field of 16 bits; v2 to v11 with mlx5 in direct mode, whose "
    .. "memory key has 8 bits for it",
  expected = "a tag that does not fit is refused, or the region is registered without a hint",
  seen = "v3 tells a requester of 8-bit tags all 16 bits; the memory key of mlx5 keeps the low 8, so 0x1234 becomes "
    .. "0x34, another tag, and nothing tells",
  effects = { "open", "dma", "raw" },
  options = reproducing.nic_options(),
  needs = { "vfio.dma_buf", "vfio.dma_buf_tph" },
  cases = {
    { "peerlab refuses it before the kernel sees it", reproducing.case(function(f)
      local buf <close> = f:export()
      for _, hint in ipairs { { st = 0x100, ph = "target" }, { st = 0x1ff, ph = "target" } } do
        local ok, err = pcall(buf.set_tph, buf, hint)
        expect.equal(ok, false, "taken")
        expect.equal(type(err) == "table" and err.errno, nil, "errno: the kernel was asked")
      end
    end) },
    { "in the field of the 8-bit tag", reproducing.case(function(f, _, t)
      local number, structure, layout = f:feature()
      if structure.size == 12 then
        t:skip("from v4 on the field has 8 bits")
      end
      local buf <close> = f:export()
      local answer = feature.answer(f.dev, number, feature.pack(structure, { fd = buf:fd(), st = WIDE, ph = 2 }))
      expect.equal(answer, "0", "SET")
      local told = f:told(buf)
      if told[8] and layout == "v3" then
        -- v3 does not look; what the NIC makes of it, its key's 8 bits cut.
        reproducing.bug(t, told[8], "0x34 target", "none", "a requester of 8-bit tags")
      elseif told[8] then
        expect.equal(told[8], "none", "a requester of 8-bit tags")
      end
      t:log("8 bits: " .. tostring(told[8]) .. ", 16 bits: " .. tostring(told[16]))
    end) },
    { "BUG: a 16-bit tag in the memory key", reproducing.case(function(f, _, t)
      local _, structure = f:feature()
      local buf <close> = f:export()
      if structure.flags then
        buf:set_tph { st_ext = WIDE, ph = "target" }
      else
        local number = f:feature()
        local data = feature.pack(structure, { fd = buf:fd(), st = WIDE, ph = 2 })
        expect.equal(feature.answer(f.dev, number, data), "0", "SET")
      end
      local told, by = f:told(buf)
      if not told[16] then
        t:skip(f.opt.nic .. " asks for 8-bit tags")
      elseif by == "importer" then
        expect.equal(told[16], "0x1234 target", "an importer without a memory key")
      else
        reproducing.bug(t, told[16], "0x34 target", "none", "the memory key of " .. f.opt.nic)
      end
    end) },
  },
}
