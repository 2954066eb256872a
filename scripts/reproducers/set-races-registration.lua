-- peerlab run --bench sim:tph-v11 scripts/reproducers/set-races-registration.lua
-- On a simulated bench the roles take turns, so only a model that keeps tag and hint apart could fail; on a real one
-- they are threads that run at once.
local sys = require "sys"
local expect, feature, reproducing = require "expect", require "tph_feature", require "reproducing"

local PAIRS = { { st = 0x11, ph = 1, text = "0x11 requester" }, { st = 0xee, ph = 2, text = "0xee target" } }
local SET = 1 << 17

--- What tells this process from others; nil where the bench has no /proc/self, as there all roles are one process.
local function process()
  local ok, name = pcall(sys.readlink, "/proc/self")
  return ok and name or "the only one"
end

--- Sets one pair after the other, by descriptors of the role that registers.
local function flip(t, opt)
  local given = t:receive()
  if given.process ~= process() then
    t:send "another process"
    t:skip("roles are processes here: a descriptor of one means nothing to the other")
  end
  t:send "here"
  local structure = feature.structures[given.layout]
  local requests = {}
  for i, pair in ipairs(PAIRS) do
    local data = feature.pack(structure, {
      fd = given.dmabuf, flags = given.flags, st = pair.st, st_ext = pair.st, ph = pair.ph,
    })
    requests[i] = string.pack("<I4I4", 8 + #data, SET | given.number) .. data
  end
  local flips, refused = 0, nil
  for _ = 1, opt.rounds do
    t:barrier()
    for _ = 1, opt.flips do
      flips = flips + 1
      local answer = sys.ioctl(given.device, "VFIO_DEVICE_FEATURE", requests[1 + flips % 2])
      refused = refused or answer.name
    end
    t:barrier()
  end
  t:send(refused or "0")
end

--- Registers meanwhile, and looks at each region.
local function register(f, opt, t)
  local buf <close> = f:export()
  local number, structure, layout = f:feature()
  local wide = f:hint(0).st_ext ~= nil
  buf:set_tph(f:hint(PAIRS[1].st, "requester"))
  t:send {
    process = process(), device = f.dev:fd(), dmabuf = buf:fd(), number = number, layout = layout,
    flags = structure.flags and (wide and feature.ST_EXT or feature.ST) or 0,
  }
  if t:receive() ~= "here" then
    t:skip("roles are processes here: a descriptor of one means nothing to the other")
  end
  local seen = {}
  for _ = 1, opt.rounds do
    t:barrier()
    for _ = 1, opt.registrations do
      local mr <close> = f:register(buf)
      local sent = f:sends(mr)
      seen[sent] = (seen[sent] or 0) + 1
    end
    t:barrier()
  end
  local refused = t:receive()
  expect.truthy(refused == "0" or refused == "EBUSY" and layout == "v4", "answer to a SET: " .. refused)
  local first, second = seen[PAIRS[1].text] or 0, seen[PAIRS[2].text] or 0
  t:log(("%d regions with the first pair, %d with the second"):format(first, second))
  for sent, count in pairs(seen) do
    if sent ~= PAIRS[1].text and sent ~= PAIRS[2].text then
      expect.equal(count, 0, "regions with " .. sent .. ", which was never set")
    end
  end
  expect.equal(first + second, opt.rounds * opt.registrations, "regions")
  if t:bench() == "sim" then
    expect.equal(second > 0, refused == "0", "the second pair was seen")
  end
end

return {
  name = "set-races-registration",
  about = "SET flips between two pairs of tag and hint while regions are registered: none gets a mixed pair",
  tags = { "tph", "rdma" },
  effects = { "open", "dma", "raw" },
  roles = { "registrar", "setter" },
  concerns = "DMA_BUF_TPH v2 to v11, mlx5; v2 and v3 read without a lock what SET replaces",
  expected = "every region has the tag and the processing hint of one SET; in v4 a second SET is EBUSY",
  seen = "v2, v3: a region may have the tag of one SET with the processing hint of another (never seen by us: it takes "
    .. "a kernel with the series and a ConnectX)",
  options = reproducing.nic_options {
    rounds = { type = "integer", default = 8, min = 1, max = 1000000, about = "how often both start at once" },
    flips = { type = "integer", default = 7, min = 1, max = 1000000, about = "SETs of a round; an odd number" },
    registrations = { type = "integer", default = 2, min = 1, max = 1000000, about = "regions of a round" },
  },
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  cases = {
    { "no mixed pair", function(t, opt)
      if t:role() == "setter" then
        flip(t, opt)
      else
        reproducing.nic_case(register)(t, opt)
      end
    end },
  },
}
