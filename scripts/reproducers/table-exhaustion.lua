-- peerlab run --bench sim:mlx5-table scripts/reproducers/table-exhaustion.lua
local expect, reproducing, table_entries = require "expect", require "reproducing", require "table_entries"

local function case(body)
  return reproducing.nic_case(function(f, _, t)
    local free = table_entries.count(f)
    table_entries.with(function(keep)
      local mrs = {}
      for i = 1, free do
        mrs[i] = keep(f:register(keep(table_entries.tagged(f, i))))
        expect.equal(f:sends(mrs[i]), ("0x%02x target"):format(i), "tag " .. i)
      end
      t:log(("%d tags at once"):format(free))
      body(f, t, keep, mrs)
    end)
  end)
end

return {
  name = "table-exhaustion",
  about = "more tags at once than the NIC's steering table has entries",
  tags = { "tph", "rdma", "table" },
  concerns = "DMA_BUF_TPH v2 to v11, mlx5 with a steering table",
  expected = "registration of one tag too many succeeds and the region sends no hint; those that were there keep "
    .. "theirs; once a region is gone, the next one has its entry",
  seen = "v2: entries are not given back, so after as many tags as entries no new one is ever sent; v7: not before the "
    .. "pooled memory key goes. In no revision is the program told that the hint was left out.",
  effects = { "open", "dma", "raw" },
  options = table_entries.table_options(),
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  cases = {
    { "one tag too many: a region without a hint", case(function(f, t, keep, mrs)
      local buf = keep(table_entries.tagged(f, 0xfe))
      for _ = 1, 3 do
        local mr <close> = f:register(buf)
        expect.equal(f:sends(mr), "none", "the region with one tag too many")
      end
      t:log("registration says 0: nothing tells the program that the tag is not sent")
      for i, mr in ipairs(mrs) do
        expect.equal(f:sends(mr), ("0x%02x target"):format(i), "region " .. i)
      end
    end) },
    { "a tag that is in the table still finds its entry", case(function(f, _, keep, mrs)
      local buf = keep(table_entries.tagged(f, #mrs))
      local mr <close> = f:register(buf)
      expect.equal(f:sends(mr), ("0x%02x target"):format(#mrs), "another region with the last tag")
    end) },
    { "it recovers", case(function(f, t, keep, mrs)
      local buf = keep(table_entries.tagged(f, 0xfe))
      f:register(buf):close()
      mrs[1]:close()
      local mr <close> = f:register(buf)
      table_entries.given_back(f, t, f:sends(mr), "0xfe target", "the next tag after a region is gone")
      for i = 2, #mrs do
        expect.equal(f:sends(mrs[i]), ("0x%02x target"):format(i), "region " .. i)
      end
    end) },
  },
}
