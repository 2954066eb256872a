--- Steering tags of a NIC: which tag it sends for the index that a memory key holds.
local sys = require "sys"

local steering = {}

local ID, FIRST = 0x17, 0x100

--- The TPH requester capability of a configuration space: its place, what it can and how it is set.
local function capability(fd)
  local place, seen = FIRST, {}
  while place >= FIRST and not seen[place] do
    seen[place] = true
    local bytes = sys.read(fd, 12, place).bytes or ""
    if #bytes < 12 then
      return nil
    end
    local header, abilities, control = string.unpack("<I4I4I4", bytes)
    if header & 0xffff == ID then
      return place, abilities, control
    end
    place = header >> 20 & ~3
  end
end

--- The function's configuration space, opened; nil and a reason where it cannot be.
local function config(nic)
  local path = ("/sys/class/infiniband/%s/device/config"):format(nic)
  local ok, file = pcall(sys.open, path, 0)
  return ok and file or nil, ok and path or tostring(file)
end

--- Which hints an RDMA device may send: "tph" (8-bit tags) or "extended"; nil and a reason where none, or where that
--- cannot be read.
function steering.mode(nic)
  local file, path = config(nic)
  if not file then
    return nil, path
  end
  local _file <close> = file
  local place, _, control = capability(file:fd())
  if not place then
    return nil, path .. " shows no TPH requester capability (beyond 64 bytes it is root's to read)"
  end
  local mode = ({ [1] = "tph", [3] = "extended" })[control >> 8 & 3]
  return mode, not mode and path .. " has TPH off, which a driver turns on below a root port that is a TPH completer "
    .. "(in the lab tph_completer of scripts/lab/build-modules makes it one)" or nil
end

--- Skips a case that waits for hints of an RDMA device which sends none.
function steering.need(t, nic)
  local mode, reason = steering.mode(nic)
  if not mode then
    t:skip(("registered without a hint: %s sends none: %s"):format(nic, reason))
  end
end

--- The tag behind `index` of an RDMA device: the index itself in direct mode, else its entry in the table that the
--- function keeps in configuration space. nil and a reason where that cannot be read.
function steering.tag(nic, index)
  local file, path = config(nic)
  if not file then
    return nil, path
  end
  local _file <close> = file
  local place, abilities, control = capability(file:fd())
  if not place then
    return nil, path .. " shows no TPH requester capability (beyond 64 bytes it is root's to read)"
  end
  local location, size = abilities >> 9 & 3, (abilities >> 16 & 0x7ff) + 1
  if location == 0 then
    return index
  end
  if location ~= 1 or index >= size or control >> 8 & 3 == 0 then
    return nil, ("index %d is not in a table of %d entries at location %d"):format(index, size, location)
  end
  local entry = sys.read(file:fd(), 2, place + 12 + 2 * index).bytes or ""
  if #entry < 2 then
    return nil, ("entry %d of %s cannot be read"):format(index, path)
  end
  return (string.unpack("<I2", entry))
end

return steering
