-- peerlab run --bench sim:mlx5-table scripts/reproducers/entry-references.lua
local expect, reproducing, table_entries = require "expect", require "reproducing", require "table_entries"

--- Regions of one dma-buf with one tag, of which all but the last are deregistered; `others` fill what is left.
local function case(body)
  return reproducing.nic_case(function(f, opt, t)
    local free = table_entries.count(f)
    table_entries.with(function(keep)
      body(f, t, opt.regions, keep, free)
    end)
  end)
end

return {
  name = "entry-references",
  about = "an entry of the NIC's steering table lives as long as the last region that uses it",
  tags = { "tph", "rdma", "table" },
  concerns = "DMA_BUF_TPH v2 to v11, mlx5 with a steering table",
  expected = "regions with one tag share one entry; it stays while any of them is registered, and is free for another "
    .. "tag once the last is gone",
  seen = "v2: no entry is ever free again; v7: an entry lives with the pooled memory key, after its region is gone. "
    .. "Elsewhere it would be a region that sends another one's tag.",
  effects = { "open", "dma", "raw" },
  options = table_entries.table_options {
    regions = { type = "integer", default = 8, min = 2, max = 1000, about = "regions with one tag" },
  },
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  cases = {
    { "regions with one tag share an entry", case(function(f, _, regions, keep)
      local buf = keep(table_entries.tagged(f, 0x42))
      local _, first = f:sends(keep(f:register(buf)))
      for i = 2, regions do
        local sent, index = f:sends(keep(f:register(buf)))
        expect.equal(sent, "0x42 target", "region " .. i)
        expect.equal(index, first, "index of region " .. i)
      end
    end) },
    { "the entry stays until the last region is gone", case(function(f, t, regions, keep, free)
      local buf = keep(table_entries.tagged(f, 0x42))
      local mrs = {}
      for i = 1, regions do
        mrs[i] = keep(f:register(buf))
      end
      local _, index = f:sends(mrs[regions])
      for i = 1, regions - 1 do
        mrs[i]:close()
      end
      -- All others are taken, so what is registered next has an entry only where that of the last region were free.
      for i = 1, free - 1 do
        local mr = keep(f:register(keep(table_entries.tagged(f, 0x80 + i))))
        expect.equal(f:sends(mr), ("0x%02x target"):format(0x80 + i), "tag " .. i)
      end
      local other = keep(table_entries.tagged(f, 0x43))
      local without <close> = f:register(other)
      expect.equal(f:sends(without), "none", "another tag while the last region is registered")
      expect.equal(f:sends(mrs[regions]), "0x42 target", "the last region")
      without:close()

      mrs[regions]:close()
      local with <close> = f:register(other)
      local sent, place = f:sends(with)
      table_entries.given_back(f, t, sent, "0x43 target", "another tag after the last region")
      if sent ~= "none" then
        expect.equal(place, index, "its index")
      end
    end) },
  },
}
