-- peerlab run --bench sim:lab-importer-tph-v6-at-14 scripts/reproducers/namespaces.lua
-- Also sim:lab-importer-tph-v2, sim:tph-v3 to sim:tph-v11 (a NIC of 8-bit tags), sim:mlx5-extended (one of 16-bit
-- tags), and --bench lab --lab-importer --lab-tph v2 or v6@14.
local expect, reproducing = require "expect", require "reproducing"

--- A case: `body(tells, structure, t)`, where `tells` sets hints on a dma-buf, one after the other, and looks who is
--- told what.
local function case(body)
  return reproducing.case(function(f, _, t)
    local buf <close> = f:export()
    local _, structure = f:feature()
    --- Sets a hint (`again`: after another) and compares what is told to requesters of 8 and of 16 bits. Whether it was
    --- taken.
    local function tells(hint, eight, sixteen, again)
      if again then
        if not f:replace(buf, hint) then
          return
        end
      else
        buf:set_tph(hint)
      end
      local expected = { [8] = eight, [16] = sixteen }
      for bits, found in pairs(f:told(buf)) do
        expect.equal(found, expected[bits], ("a requester of %d-bit tags"):format(bits))
        t:log(("%s is told to a requester of %d-bit tags"):format(found, bits))
      end
    end
    body(tells, structure, t)
  end)
end

--- A case of revisions that have two namespaces.
local function two(body)
  return case(function(tells, structure, t)
    if not structure.flags then
      t:skip("v2 has one namespace")
    end
    body(tells)
  end)
end

return {
  name = "namespaces",
  about = "8-bit and 16-bit tags are namespaces of their own: whoever asks for one is never told the other",
  tags = { "tph", "importer" },
  concerns = "DMA_BUF_TPH v2 to v11",
  expected = "v3 to v11: a requester of 8-bit tags is told the 8-bit tag or nothing, one of 16-bit tags the 16-bit tag "
    .. "or nothing, and each SET replaces both. v2 has one tag, for both.",
  seen = "a tag of one namespace in requests of the other: the completer steers by a number never meant for it",
  effects = { "open", "dma", "raw" },
  options = reproducing.nic_options(),
  needs = { "vfio.dma_buf", "vfio.dma_buf_tph" },
  cases = {
    { "an 8-bit tag alone", case(function(tells, structure)
      tells({ st = 0x42, ph = "target" }, "0x42 target", structure.flags and "none" or "0x42 target")
    end) },
    { "a 16-bit tag alone", two(function(tells)
      tells({ st_ext = 0x43, ph = "target" }, "none", "0x43 target")
    end) },
    { "both, with different values", two(function(tells)
      tells({ st = 0x42, st_ext = 0x43, ph = "requester" }, "0x42 requester", "0x43 requester")
    end) },
    { "a SET of one takes the other away", two(function(tells)
      tells({ st = 0x42, st_ext = 0x43, ph = "target" }, "0x42 target", "0x43 target")
      tells({ st = 0x44, ph = "target" }, "0x44 target", "none", true)
      tells({ st_ext = 0x45, ph = "target" }, "none", "0x45 target", true)
    end) },
    { "tag 0 is a tag", two(function(tells)
      tells({ st = 0, ph = "target" }, "0x00 target", "none")
    end) },
  },
}
