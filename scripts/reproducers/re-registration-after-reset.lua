-- peerlab run --bench sim:tph-v11 scripts/reproducers/re-registration-after-reset.lua
local expect, reproducing = require "expect", require "reproducing"

local function first(opt)
  return ("0x%02x target"):format(opt.first)
end

local function reset(f)
  f.dev:reset()
end

local function memory_off_and_on(f)
  f:set_memory(false)
  f:set_memory(true)
end

--- A case for each way in which the exporter takes its mappings away: `body(f, opt, t, revoke)`.
local cases = {}
local function each(name, body)
  for _, way in ipairs { { "a reset", reset }, { "memory off and on", memory_off_and_on } } do
    local revoke = way[2]
    cases[#cases + 1] = { name:format(way[1]), reproducing.nic_case(function(f, opt, t)
      body(f, opt, t, revoke)
    end) }
  end
end

each("after %s a new region has the tag as before", function(f, opt, _, revoke)
  local buf <close> = f:export()
  buf:set_tph(f:hint(opt.first))
  f:register(buf):close()
  revoke(f)
  local mr <close> = f:register(buf)
  expect.equal(f:sends(mr), first(opt), "the new region")
  f:access(mr)
  expect.equal(f:sends(mr), first(opt), "the new region, after a write")
end)

-- The NIC maps again when it accesses the region, and does not ask for the hint.
each("BUG: after %s and a SET, a region that maps again has the old tag", function(f, opt, t, revoke)
  local buf <close> = f:export()
  buf:set_tph(f:hint(opt.first))
  local mr <close> = f:register(buf)
  f:access(mr)
  local taken = f:replace(buf, f:hint(opt.second))
  revoke(f)
  f:access(mr)
  local second = ("0x%02x target"):format(opt.second)
  if taken then
    reproducing.bug(t, f:sends(mr), first(opt), second, "the region that mapped again")
  else
    expect.equal(f:sends(mr), first(opt), "the region that mapped again")
  end
  local again <close> = f:register(buf)
  expect.equal(f:sends(again), taken and second or first(opt), "a region registered then")
  -- Two tags of one dma-buf at once are what the bug comes to.
  if taken then
    expect.equal(f:sends(mr), first(opt), "the region that mapped again, beside it")
  end
end)

each("%s between two SETs", function(f, opt, _, revoke)
  local buf <close> = f:export()
  buf:set_tph(f:hint(opt.first))
  revoke(f)
  local taken = f:replace(buf, f:hint(opt.second))
  local mr <close> = f:register(buf)
  expect.equal(f:sends(mr), taken and ("0x%02x target"):format(opt.second) or first(opt), "the new region")
end)

cases[#cases + 1] = { "with memory off: no registration, but a SET", reproducing.nic_case(function(f, opt)
  local buf <close> = f:export()
  f:set_memory(false)
  local refusal = select(2, pcall(f.register, f, buf))
  local set, err = pcall(buf.set_tph, buf, f:hint(opt.first))
  f:set_memory(true)
  expect.equal(refusal.name, "ENODEV", "registration with memory off")
  expect.truthy(set, "a SET with memory off: " .. tostring(err))
  local mr <close> = f:register(buf)
  expect.equal(f:sends(mr), first(opt), "the region that is registered then")
end) }

return {
  name = "re-registration-after-reset",
  about = "after a reset, or memory decode off and on, a region registered again has the tag that was set last",
  tags = { "tph", "rdma" },
  concerns = "DMA_BUF_TPH v2 to v11, mlx5",
  expected = "the hint of a dma-buf outlives a revocation; whoever maps again after it asks for the hint again, be it "
    .. "by registering anew or by the NIC's next access",
  seen = "v2 to v11: mlx5 maps again at the next access without asking, so a region keeps a tag that was replaced "
    .. "(review of v11, 9 July 2026; its author agreed)",
  effects = { "open", "config_write", "reset", "dma", "raw" },
  options = reproducing.nic_options {
    first = { type = "integer", default = 0x42, min = 1, max = 255, about = "tag before registration" },
    second = { type = "integer", default = 0x43, min = 1, max = 255, about = "tag set afterwards" },
  },
  needs = { "vfio.dma_buf_tph", "rdma.reg_dmabuf_mr" },
  cases = cases,
}
