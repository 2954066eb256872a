--- Runtime power management of a function, seen without a look at the function, which would wake it.
local sys = require "sys"

local asleep = {}

local NANOSECONDS <const> = 1000000000

local function status(address)
  local file <close> = sys.open(("/sys/bus/pci/devices/%s/power/runtime_status"):format(address), 0)
  return (sys.read(file:fd(), 64).bytes:gsub("\n", ""))
end

--- Waits until a function whose low power was entered sleeps: the kernel suspends it in work of its own, and what touches
--- it before that wakes nothing.
---@param address string the function's PCI address
function asleep.wait(address)
  local give_up = sys.now() + 120 * NANOSECONDS
  while status(address) ~= "suspended" and sys.now() < give_up do
    sys.sleep(1)
  end
end

return asleep
