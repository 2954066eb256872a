--- What the reproducers share: a case with an exporter and those who ask for its hint, and bugs that are known.
local rdma, case, sys = require "rdma", require "case", require "sys"
local expect, steering, feature = require "expect", require "steering", require "tph_feature"
local fixture, loopback = require "fixture", require "loopback"
local importer = require "engines.edu_importer"

local reproducing = {}

local LENGTH = 4096
local HINTS = { [0] = "bidirectional", "requester", "target", "target-priority" }

--- The options of a reproducer that exports, and of one that registers with a NIC as well.
reproducing.exporter_options, reproducing.nic_options = fixture.exporter_options, fixture.nic_options

--- An answer that kernels with a known bug give. The `wrong` one is what is expected today; the `right` one fails the
--- case too, as then the bug is gone and its reproducer out of date.
function reproducing.bug(t, found, wrong, right, what)
  if found == right then
    local message = "the bug is gone: %s is %s, as a right kernel has it; expect that from now on"
    case.fixed(message:format(what, right), right, what)
  end
  expect.equal(found, wrong, what)
  case.wrong(found, right, what)
  t:log(("%s: %s; as a fixed kernel would, %s: no"):format(what, found, right))
end

local Exporter = {}
Exporter.__index = Exporter

--- A case: `body(f, opt, t)` with the open exporter.
function reproducing.case(body)
  return function(t, opt)
    local opened <close> = fixture.vfio(opt)
    body(setmetatable({ t = t, opt = opt, dev = opened.dev, opened = opened }, Exporter), opt, t)
  end
end

--- Exports pages of the BAR, { first, count } each; the first page where none are given.
function Exporter:export(...)
  return self.opened:export(...)
end

--- Switches the exporter's memory decode.
function Exporter:set_memory(on)
  self.opened:set_memory(on)
end

--- The feature's number, structure and that one's name (`tph_feature.identify`).
function Exporter:feature()
  if not self.number then
    self.number, self.structure, self.layout = feature.identify(self.dev)
  end
  return self.number, self.structure, self.layout
end

--- Sets a hint once more. Whether that was taken: v4 sets once, and says EBUSY.
function Exporter:replace(buf, hint)
  local ok, err = pcall(buf.set_tph, buf, hint)
  if ok then
    return true
  end
  local _, _, layout = self:feature()
  if err.name ~= "EBUSY" or layout ~= "v4" then
    error(err, 0)
  end
  self.t:log("this revision sets once: EBUSY")
  return false
end

--- A case with a NIC: `body(f, opt, t)`, where `f` can also register, and knows what a region sends.
function reproducing.nic_case(body)
  return reproducing.case(function(f, opt, t)
    local context <close> = rdma.open(opt.nic)
    local pd <close> = context:alloc_pd()
    f.context, f.pd = context, pd
    body(f, opt, t)
  end)
end

--- A hint of the namespace that the NIC asks for.
function Exporter:hint(tag, ph)
  local _, structure = self:feature()
  local wide = steering.mode(self.opt.nic) == "extended" and structure.flags
  return { [wide and "st_ext" or "st"] = tag, ph = ph or "target" }
end

--- Registers a dma-buf of a page.
function Exporter:register(buf)
  return self.pd:reg_dmabuf_mr { dmabuf = buf, length = LENGTH, access = { "local_write", "remote_write" } }
end

local function text(tag, ph)
  return ("0x%02x %s"):format(tag, ph)
end

--- What a region sends: "0x42 target", or "none". Second result: the index in its memory key. Skips the case where
--- nothing tells.
function Exporter:sends(mr)
  local hint = mr:tph()
  if hint.enabled == nil then
    self.t:skip("registered, but " .. hint.reason)
  end
  if not hint.enabled then
    return "none"
  end
  local tag, reason = steering.tag(self.opt.nic, hint.st)
  return tag and text(tag, hint.ph) or self.t:skip("registered, but " .. reason), hint.st
end

--- The NIC writes 64 bytes to a region, by a connection with itself: if the exporter took the mapping away, it is made
--- again now.
function Exporter:access(mr)
  loopback.move(self.context, self.pd, "rdma_write", mr, 64)
end

--- What those who ask for the hint of a dma-buf are told, by the bits of the tags they ask for: { [8] = "0x42 target",
--- [16] = "none" }, and by whom: "importer" or "NIC". An importer in the kernel asks for both; a NIC for those that its
--- mode has, so the other is nil.
function Exporter:told(buf)
  local ok, attached = pcall(importer.attach, buf)
  if ok then
    local _attached <close> = attached
    local answers = {}
    for bits, extended in pairs { [8] = false, [16] = true } do
      local found, hint = pcall(attached.hint, attached, extended) ---@type boolean, any
      if not found and hint.name ~= "EOPNOTSUPP" and hint.name ~= "EINVAL" then
        error(hint, 0)
      end
      answers[bits] = found and text(hint.st, HINTS[hint.ph]) or "none"
    end
    return answers, "importer"
  end
  local mode, reason = steering.mode(self.opt.nic)
  if not mode then
    self.t:skip("nobody asks for hints: no " .. importer.path .. ", and " .. reason)
  end
  local context <close> = rdma.open(self.opt.nic)
  local pd <close> = context:alloc_pd()
  self.pd = pd
  local mr <close> = self:register(buf)
  return { [mode == "extended" and 16 or 8] = (self:sends(mr)) }, "NIC"
end

--- An importer in the kernel attached to a dma-buf; skips the case where the bench has none.
function Exporter:attach(buf)
  local ok, file = pcall(sys.open, importer.path)
  if not ok then
    self.t:skip(("no importer: cannot open %s (--bench lab --lab-importer, sim:lab-importer)"):format(importer.path))
  end
  file:close()
  return importer.attach(buf)
end

return reproducing
