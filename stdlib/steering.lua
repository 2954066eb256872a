--- Steering tags of a NIC: which tag it sends for the index that a memory key holds.
local sys = require "sys"

local steering = {}

local ID, FIRST, REQUESTER = 0x17, 0x100, 8

--- The TPH requester capability's place in 4096 bytes of configuration space.
local function capability(config)
  local place, seen = FIRST, {}
  while place >= FIRST and place + 12 <= #config and not seen[place] do
    seen[place] = true
    local header = string.unpack("<I4", config, place + 1)
    if header & 0xffff == ID then
      return place
    end
    place = header >> 20 & ~3
  end
end

--- The tag behind `index` of an RDMA device: the index itself in direct mode, else its entry in the table that the
--- function keeps in configuration space. nil and a reason where that cannot be read.
function steering.tag(nic, index)
  local path = ("/sys/class/infiniband/%s/device/config"):format(nic)
  local ok, file = pcall(sys.open, path, 0)
  if not ok then
    return nil, tostring(file)
  end
  local _file <close> = file
  local config = sys.read(file:fd(), 4096, 0).bytes or ""
  local place = capability(config)
  if not place then
    return nil, path .. " shows no TPH requester capability (beyond 64 bytes it is root's to read)"
  end
  local abilities, control = string.unpack("<I4I4", config, place + 5)
  local location, size = abilities >> 9 & 3, (abilities >> 16 & 0x7ff) + 1
  if location == 0 then
    return index
  end
  if location ~= 1 or index >= size or control >> REQUESTER & 3 == 0 then
    return nil, ("index %d is not in a table of %d entries at location %d"):format(index, size, location)
  end
  return (string.unpack("<I2", config, place + 13 + 2 * index))
end

return steering
