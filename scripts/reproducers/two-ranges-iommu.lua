-- peerlab run --bench sim:lab-importer scripts/reproducers/two-ranges-iommu.lua
-- Also --bench lab --lab-importer. Where a switch passes the requests on (sim:lab-importer-below-switch, --lab-machine
-- below-switch) no IOMMU is in between, and the ranges are mapped as they should be.
local expect, importer, reproducing = require "expect", require "engines.edu_importer", require "reproducing"

local PAGE = 4096

--- How the importer's device reaches the BAR: "IOMMU", "switch", or nil, not at all.
local function route(f)
  local buf <close> = f:export()
  local attached <close> = f:attach(buf)
  local ok, pieces = pcall(attached.map, attached)
  if ok then
    return pieces[1].address == importer.bus_address(f.dev, f.opt.region) and "switch" or "IOMMU"
  elseif pieces.name ~= "EINVAL" then
    error(pieces, 0)
  end
end

--- Ranges of pages as pieces.
local function bytes(ranges)
  local pieces = {}
  for i, range in ipairs(ranges) do
    pieces[i] = { length = range[2] * PAGE }
  end
  return pieces
end

--- How a map ended: the bytes that it has, in one piece or more, or its errno.
local function mapped(ok, pieces)
  if not ok then
    return pieces.name
  end
  local sum = 0
  for _, piece in ipairs(pieces) do
    sum = sum + piece.length
  end
  return sum .. " bytes mapped"
end

local cases = {}

for _, ranges in ipairs {
  { name = "two ranges apart", { 0, 1 }, { 4, 2 } },
  { name = "two neighbours", { 0, 1 }, { 1, 1 } },
  { name = "three ranges", { 8, 1 }, { 4, 1 }, { 0, 1 } },
  { name = "one range twice", { 3, 1 }, { 3, 1 } },
} do
  cases[#cases + 1] = { "BUG: " .. ranges.name .. " through an IOMMU", reproducing.case(function(f, opt, t)
    local by = route(f) or t:skip("the kernel knows no peer-to-peer route between the two devices")
    local buf <close> = f:export(table.unpack(ranges))
    local attached <close> = f:attach(buf)
    local ok, pieces, count = pcall(attached.map, attached)
    if by == "IOMMU" then
      reproducing.bug(t, mapped(ok, pieces), "EADDRINUSE", mapped(true, bytes(ranges)), "the map")
      expect.equal(attached:is_mapped(), false, "mapped")
      return
    end
    expect.equal(mapped(ok, pieces), mapped(true, bytes(ranges)), "the map by bus address, as a switch passes it on")
    expect.equal(count, #ranges, "pieces")
    local bar = importer.bus_address(f.dev, opt.region)
    for i, range in ipairs(ranges) do
      expect.equal(pieces[i].address, bar + range[1] * PAGE, "address of piece " .. i)
    end
    t:log("no IOMMU in between: mapped as it should be")
  end) }
end

-- First, so that the last refusal of a record is that of a case about two ranges.
table.insert(cases, 1, { "A single range maps, whatever became of two before it", reproducing.case(function(f, _, t)
  if not route(f) then
    t:skip("the kernel knows no peer-to-peer route between the two devices")
  end
  local one <close> = f:export { 4, 2 }
  local two <close> = f:export({ 0, 1 }, { 4, 2 })
  for round = 1, 16 do
    local refused <close> = f:attach(two)
    pcall(refused.map, refused)
    local attached <close> = f:attach(one)
    local pieces, count = attached:map()
    expect.equal(count, 1, "pieces, round " .. round)
    expect.equal(pieces[1].length, 2 * PAGE, "length, round " .. round)
  end
end) })

return {
  name = "two-ranges-iommu",
  about = "a dma-buf of two ranges cannot be mapped through an IOMMU",
  tags = { "export", "importer", "p2p" },
  concerns = "Linux 7.3.4, drivers/dma-buf/dma-buf-mapping.c; no fix was found by July 2026",
  expected = "each range is linked behind the one before in the I/O virtual addresses that are allocated for all of "
    .. "them; the importer's table has all of them",
  seen = "EADDRINUSE: every range is linked at offset 0 of these addresses, so the second meets the first",
  effects = { "open", "raw" },
  options = reproducing.exporter_options(),
  needs = { "vfio.dma_buf", "importer" },
  cases = cases,
}
