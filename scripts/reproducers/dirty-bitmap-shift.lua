-- peerlab run --bench sim:lab scripts/reproducers/dirty-bitmap-shift.lua
-- Also --bench lab.
--
-- VFIO_IOMMU_DIRTY_PAGES with GET_BITMAP asks for a range of addresses, in which a mapping may begin at any page. So
-- update_user_bitmap() shifts the mapping's bits up to its place, within the mapping's own bitmap, and copies whole words
-- to the caller. vfio_iova_dirty_bitmap() then clears as many bits as the mapping has pages, from the first one: what was
-- shifted above them stays. The next request sets the mapping's bits, and shifts the old ones a second time.
--
-- Too many pages are told, never too few: a migration copies more than it must. Read in the source, and seen on 7.3.4.
local vfio, type1, memory = require "vfio", require "type1", require "memory"
local expect, reproducing = require "expect", require "reproducing"

local PAGE <const> = 4096
local IOVA <const> = 0x100000

--- The pages whose bits are set: "4, 8".
local function pages(bitmap)
  local found = {}
  for i = 1, #bitmap do
    for bit = 0, 7 do
      if bitmap:byte(i) >> bit & 1 == 1 then
        found[#found + 1] = 8 * (i - 1) + bit
      end
    end
  end
  return table.concat(found, ", ")
end

--- A case: `body(t, ask)` with pages mapped that begin at `first`; `ask()` tells which of 64 pages are dirty.
local function tracked(first, count, body)
  return function(t, opt)
    local container <close> = type1.open()
    local _dev <close> = vfio.open(opt.exporter, { via = "group", container = container })
    local host <close> = memory.alloc(count * PAGE)
    container:track_dirty_pages(true)
    container:map { memory = host, iova = IOVA + first * PAGE }
    body(t, function()
      return pages(container:dirty_bitmap(IOVA, 64 * PAGE))
    end)
    container:unmap(IOVA + first * PAGE, count * PAGE)
  end
end

return {
  name = "dirty-bitmap-shift",
  about = "a dirty bitmap of type1 that is asked for again has pages that are not mapped",
  concerns = "Linux 7.3.4 and older ones since 5.8, drivers/vfio/vfio_iommu_type1.c",
  expected = "every request tells the pages of the mapping, and no other ones",
  seen = "from the second request on also pages behind the mapping, as far as whole words of 64 bits go: "
    .. "update_user_bitmap() shifts bits again that the request before has left",
  effects = { "open", "dma" },
  options = reproducing.exporter_options(),
  tags = { "type1" },
  needs = { "type1" },
  cases = {
    { "A mapping at the first page of the range is told as it is, each time", tracked(0, 3, function(_, ask)
      for turn = 1, 4 do
        expect.equal(ask(), "0, 1, 2", "dirty pages, request " .. turn)
      end
    end) },
    { "BUG: one page, asked for again", tracked(4, 1, function(t, ask)
      expect.equal(ask(), "4", "dirty pages, the first time")
      reproducing.bug(t, ask(), "4, 8", "4", "dirty pages, the second time")
      reproducing.bug(t, ask(), "4, 8, 12", "4", "dirty pages, the third time")
    end) },
    { "BUG: three pages, asked for again", tracked(10, 3, function(t, ask)
      expect.equal(ask(), "10, 11, 12", "dirty pages, the first time")
      reproducing.bug(t, ask(), "10, 11, 12, 20, 21, 22", "10, 11, 12", "dirty pages, the second time")
    end) },
  },
}
