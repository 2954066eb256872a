--- The DMA engine of QEMU's `edu` device (QEMU's docs/specs/edu). A model for other engines: the module has `id` and
--- `buffer_size`, and `start(device)`, which returns an engine with `read`, `write` and `copy`.
local vfio, sys = require "vfio", require "sys"

local edu = {
  id = "1234:11e8", -- vendor:device
  -- Most bytes of one transfer. The buffer has 4096, but QEMU 7.2 aborts on a transfer that reaches its end.
  buffer_size = 4088,
}

local IDENTIFICATION, LIVENESS = 0x00, 0x04
local SOURCE, DESTINATION, COUNT, COMMAND = 0x80, 0x88, 0x90, 0x98
local BUFFER = 0x40000 -- address of the device's own buffer, as the device sees it
local START, TO_MEMORY = 1, 2
local PCI_COMMAND, BUS_MASTER, MEMORY = 0x04, 4, 2

---@class edu.engine
---@field device vfio.device
local engine = {}
engine.__index = engine

--- Takes over an open device: checks that it is an edu, and enables bus mastering.
---@param device vfio.device
---@return edu.engine
function edu.start(device)
  local command = device:load(vfio.CONFIG, PCI_COMMAND, 2)
  device:store(vfio.CONFIG, PCI_COMMAND, 2, command | BUS_MASTER | MEMORY)
  local id = device:load(0, IDENTIFICATION, 4)
  if id & 0xffff ~= 0x00ed then
    error(("%s is no edu device: its identification register says 0x%08x"):format(device:address(), id), 2)
  end
  device:store(0, LIVENESS, 4, 0x12345678)
  local answer = device:load(0, LIVENESS, 4)
  if answer ~= (~0x12345678) & 0xffffffff then
    error(("%s does not invert its liveness register (0x%08x)"):format(device:address(), answer), 2)
  end
  return setmetatable({ device = device }, engine)
end

local function transfer(self, source, destination, length, direction)
  if length < 1 or length > edu.buffer_size then
    error(("a transfer moves 1 to %d bytes, not %d"):format(edu.buffer_size, length), 3)
  end
  local device = self.device
  device:store(0, SOURCE, 8, source)
  device:store(0, DESTINATION, 8, destination)
  device:store(0, COUNT, 8, length)
  device:store(0, COMMAND, 8, START | direction)
  -- A long limit: on a busy machine the device is slow without hanging.
  local give_up = sys.now() + 120 * 1000000000
  while device:load(0, COMMAND, 4) & START ~= 0 do
    if sys.now() > give_up then
      error(("%s: the transfer did not end within 120 s"):format(device:address()), 3)
    end
    sys.sleep(5)
  end
end

--- The device reads `length` bytes at I/O virtual address `iova` into its buffer.
---@param iova integer
---@param length integer
function engine:read(iova, length)
  transfer(self, iova, BUFFER, length, 0)
end

--- The device writes the first `length` bytes of its buffer to `iova`.
---@param iova integer
---@param length integer
function engine:write(iova, length)
  transfer(self, BUFFER, iova, length, TO_MEMORY)
end

--- The device copies `length` bytes from one I/O virtual address to another, through its buffer.
---@param from integer
---@param to integer
---@param length integer
function engine:copy(from, to, length)
  while length > 0 do
    local part = math.min(length, edu.buffer_size)
    self:read(from, part)
    self:write(to, part)
    from, to, length = from + part, to + part, length - part
  end
end

return edu
