--- Steering tags of a NIC: the tag that it sends for the index in a memory key, and whether its requests carry that
--- tag.
local sys, bench, expect, pci, keys = require "sys", require "bench", require "expect", require "pci", require "keys"

local steering = {}

---@class steering.question
---@field t case
---@field nic string the RDMA device's name
---@field mr rdma.mr
---@field exporter? string PCI address of the BAR's owner
---@field send? false|fun() makes the NIC send requests
---@field sent? boolean whether some were sent since steering.clear_requests() returned true
---@field kind? "read"|"write" of the requests

---@class steering.found
---@field tag? integer the steering tag; nil for no hint
---@field ph? string the processing hint
---@field line string each source with its value

--- Finds the TPH requester capability: its offset in bytes, its capability and control registers.
local function capability(fd)
  local offset, seen = pci.EXTENDED, {}
  while offset >= pci.EXTENDED and not seen[offset] do
    seen[offset] = true
    local bytes = sys.read(fd, 12, offset).bytes or ""
    if #bytes < 12 then
      return nil
    end
    local header, abilities, control = string.unpack("<I4I4I4", bytes)
    if header & 0xffff == pci.EXT_CAP_TPH then
      return offset, abilities, control
    end
    offset = header >> 20 & ~3
  end
end

--- Opens the function's configuration space; nil and a reason where that fails. That the scenario may not is its own
--- mistake, no reason: without the effect "raw" nothing here can be told.
local function config(nic)
  local path = ("/sys/class/infiniband/%s/device/config"):format(nic)
  local ok, file = pcall(sys.open, path, 0) ---@type boolean, any
  if not ok and file.kind == "permission" then
    error(file, 0)
  end
  return ok and file or nil, ok and path or tostring(file)
end

--- The kind of hints that an RDMA device may send: "tph" (8-bit tags) or "extended"; nil and a reason where it sends
--- none, or where that cannot be read.
---@param nic string
---@return "tph"|"extended"|nil mode
---@return string? reason
function steering.mode(nic)
  local file, path = config(nic)
  if not file then
    return nil, path
  end
  local _file <close> = file
  local offset, _, control = capability(file:fd())
  if not offset then
    return nil, path .. " shows no TPH requester capability (beyond 64 bytes it is root's to read)"
  end
  local mode = ({ [1] = "tph", [3] = "extended" })[control >> 8 & 3]
  return mode, not mode and path .. " has TPH off, which a driver turns on below a root port that is a TPH completer "
    .. "(in the lab tph_completer makes it one, which the script build-modules builds)" or nil
end

--- Skips a case that needs hints of an RDMA device, where the device sends none.
---@param t case
---@param nic string
function steering.need(t, nic)
  local mode, reason = steering.mode(nic)
  if not mode then
    t:skip(("registered without a hint: %s sends none: %s"):format(nic, reason))
  end
end

--- Sets a hint with a tag of the namespace that the NIC asks for; revisions with one namespace accept only that.
---@param nic string
---@param buf vfio.dmabuf
---@param tag integer
---@param ph string
function steering.set(nic, buf, tag, ph)
  local extended = steering.mode(nic) == "extended"
  local ok, err = pcall(buf.set_tph, buf, { [extended and "st_ext" or "st"] = tag, ph = ph }) ---@type boolean, any
  if not ok and err.kind == "argument" and extended then
    buf:set_tph { st = tag, ph = ph }
  elseif not ok then
    error(err, 0)
  end
end

--- The tag for `index` of an RDMA device: the index itself in direct mode, else the entry of the steering table in
--- configuration space. Returns it and "direct" or "table"; nil and a reason where that cannot be read.
---@param nic string
---@param index integer
---@return integer? tag
---@return string from
function steering.tag(nic, index)
  local file, path = config(nic)
  if not file then
    return nil, path
  end
  local _file <close> = file
  local offset, abilities, control = capability(file:fd())
  if not offset then
    return nil, path .. " shows no TPH requester capability (beyond 64 bytes it is root's to read)"
  end
  local location, size = abilities >> 9 & 3, (abilities >> 16 & 0x7ff) + 1
  if location == 0 then
    return index, "direct"
  end
  if location ~= 1 or index >= size or control >> 8 & 3 == 0 then
    return nil, ("index %d is not in a table of %d entries at location %d"):format(index, size, location)
  end
  local entry = sys.read(file:fd(), 2, offset + 12 + 2 * index).bytes or ""
  if #entry < 2 then
    return nil, ("entry %d of %s cannot be read"):format(index, path)
  end
  return (string.unpack("<I2", entry)), "table"
end

--- Empties the log of requests (`bench.clear_tlps`); false where this bench records none.
---@return boolean
function steering.clear_requests()
  local ok, err = pcall(bench.clear_tlps) ---@type boolean, any
  -- EBUSY: another program in the lab's guest uses the log.
  if not ok and err.name ~= "EOPNOTSUPP" and err.name ~= "EBUSY" then
    error(err, 0)
  end
  return ok
end

--- "st=0x42 ph=target" or "no hint".
local function text(tag, ph)
  return tag and ("st=0x%02x ph=%s"):format(tag, tostring(ph)) or "no hint"
end

--- Checks the log of requests against the hint `tag` and `ph` (nil for none): each request to the exporter must carry
--- it. Returns a line for the report.
local function logged(with, tag, ph, given)
  local requests = bench.tlps { target = with.exporter, kind = with.kind or "write" }
  expect.truthy(#requests > 0, "requests that reach the exporter")
  for _, request in ipairs(requests) do
    expect.equal(text(request.st, request.ph), text(tag, ph), ("request %d carries what %s"):format(request.number, given))
  end
  return ("TLP log (%s): %d request%s, %s"):format(
    with.t:bench() == "sim" and "simulated" or "of the lab's emulated NIC", #requests, #requests == 1 and "" or "s", text(tag, ph))
end

local QUESTION <const> = {
  t = "table", nic = "string", mr = "userdata", exporter = "string", send = "callback", sent = "boolean", kind = "string",
}

--- Collects what is known of the hint in a region's requests: from its memory key, from the NIC's steering table and,
--- where this bench records them, from the requests themselves. `with`: `t`, `nic` (a device's name) and `mr`; for the
--- requests `exporter` (the owner of the BAR), `send` (a function that makes the NIC send some) or `sent` (true where
--- some were sent since `steering.clear_requests()` returned true), and `kind` ("read"; default: "write"). Returns a
--- table with `tag` and `ph`, nil for no hint, and `line`, which names each source with its value; nil and a reason
--- where there is no memory key to read. Sources that disagree fail the case.
---@param with steering.question
---@return steering.found?
---@return string? reason
function steering.seen(with)
  keys.check("steering.seen", with, QUESTION)
  local hint = with.mr:tph()
  if hint.enabled == nil then
    return nil, hint.reason
  end
  local seen = {}
  local given = "the memory key says"
  local parts
  if hint.enabled then
    local tag, from = steering.tag(with.nic, hint.st)
    if not tag then
      return nil, from
    end
    seen.tag, seen.ph = tag, hint.ph
    if from == "table" then
      given = "the memory key and the steering table say"
      parts = {
        ("%s: entry %d, ph=%s"):format(hint.source, hint.st, hint.ph),
        ("steering table: entry %d is st=0x%02x"):format(hint.st, tag),
      }
    else
      parts = { ("%s: %s"):format(hint.source, text(tag, hint.ph)) }
    end
  else
    parts = { hint.source .. ": no hint" }
  end
  if with.send and steering.clear_requests() then
    with.send()
    parts[#parts + 1] = logged(with, seen.tag, seen.ph, given)
  elseif with.sent then
    parts[#parts + 1] = logged(with, seen.tag, seen.ph, given)
  end
  seen.line = table.concat(parts, "; ")
  return seen
end

return steering
