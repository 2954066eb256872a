--- Drives /dev/edu-importer, a kernel driver that imports dma-bufs for QEMU's `edu` device (scripts/lab/edu-importer;
--- `peerlab run --bench lab --lab-importer`, or `--bench sim:lab-importer`). It uses a dma-buf as a NIC's driver does:
--- attach, map, DMA, and unmap when the exporter asks for it. Errors of the kernel are raised like those of the host's
--- functions.
local sys = require "sys"

local edu_importer = {
  path = "/dev/edu-importer", -- the driver's file
  id = "1234:11e8", -- vendor:device
  --- Request numbers for sys.ioctl (scripts/lab/edu-importer/edu_importer.h).
  requests = {
    attach = 0x4008ed00, map = 0x8208ed01, copy = 0x4018ed02, unmap = 0xed03, detach = 0xed04, state = 0x8008ed05,
    hint = 0xc008ed06,
  },
  entries = 32, -- most pieces that a map returns
}

local PEER2PEER, INVALIDATE = 1, 2

-- The most likely meaning of an errno of each operation.
local hints = {
  attach = {
    EOPNOTSUPP = "a VFIO dma-buf wants an importer with peer2peer and invalidate",
    ENODEV = "the dma-buf is revoked: the exporter's memory is off, or the exporter is closed",
  },
  map = {
    EADDRINUSE = "7.3 maps no dma-buf of several ranges through an IOMMU: export one range, or put both devices below one "
      .. "switch (--bench sim:lab-importer-below-switch)",
    EINVAL = "no peer-to-peer route between the two devices; the kernel log says why",
    ENODEV = "the dma-buf is revoked: the exporter's memory is off, or the exporter is closed",
  },
  copy = { ENXIO = "it is not mapped, or the exporter has taken the mapping" },
  hint = {
    ENOENT = "vfio_tph is not loaded", EOPNOTSUPP = "no hint was set, or none for this namespace",
    EINVAL = "the tag has more bits than were asked for",
  },
}

local refusal = {}
function refusal.__tostring(err)
  return err.message
end

--- The bus address of a BAR of an open VFIO device. Below a common switch the importer's device reaches the dma-buf at
--- that address too; otherwise an IOMMU translates its addresses.
---@param device vfio.device
---@param region integer
---@return integer
function edu_importer.bus_address(device, region)
  local file <close> = sys.open(("/sys/bus/pci/devices/%s/resource"):format(device:address()), 0)
  local lines = sys.read(file:fd(), 4096).bytes or ""
  for start in lines:gmatch("(0x%x+) 0x%x+ 0x%x+\n") do
    if region == 0 then
      return math.tointeger(tonumber(start)) or 0
    end
    region = region - 1
  end
  error(("%s has no region %d in its resource file"):format(device:address(), region), 2)
end

---@class edu_importer.attachment
---@field file? sys.file
local attachment = {}
attachment.__index = attachment

--- Its descriptor, for sys.ioctl.
function attachment:fd()
  return self.file:fd()
end

local function request(self, operation, bytes)
  local answer = sys.ioctl(self.file:fd(), edu_importer.requests[operation], bytes)
  if answer.result < 0 then
    local hint = hints[operation] and hints[operation][answer.name]
    error(setmetatable({
      kind = "kernel", operation = "edu_importer " .. operation, errno = answer.errno, name = answer.name,
      object = edu_importer.path, hint = hint,
      message = ("edu_importer %s: %s%s"):format(operation, answer.name, hint and "; " .. hint or ""),
    }, refusal), 0)
  end
  return answer.bytes
end

--- Attaches to a dma-buf (an object with `fd`). `with.peer2peer` and `with.invalidate`, both true by default, are
--- abilities of the importer: to use a device's memory, and to unmap when the exporter asks. Close the returned object.
---@param dmabuf vfio.dmabuf|sys.file
---@param with? { peer2peer?: boolean, invalidate?: boolean }
---@return edu_importer.attachment
function edu_importer.attach(dmabuf, with)
  with = with or {}
  local flags = (with.peer2peer == false and 0 or PEER2PEER) | (with.invalidate == false and 0 or INVALIDATE)
  local self = setmetatable({ file = sys.open(edu_importer.path) }, attachment)
  local ok, err = pcall(request, self, "attach", string.pack("<i4I4", dmabuf:fd(), flags))
  if not ok then
    self.file:close()
    error(err, 0)
  end
  return self
end

--- Maps the dma-buf for the device. Returns the pieces by device address, a list of { address, length } with at most 32
--- of them, and their total number.
---@return { address: integer, length: integer }[] pieces
---@return integer count
function attachment:map()
  local bytes = request(self, "map", ("\0"):rep(8 + 16 * edu_importer.entries))
  local count = string.unpack("<I4", bytes)
  local pieces = {}
  for i = 1, math.min(count, edu_importer.entries) do
    local address, length = string.unpack("<I8I8", bytes, 16 * i - 7)
    pieces[i] = { address = address, length = length }
  end
  return pieces, count
end

--- The device copies `length` bytes from one offset of the mapped dma-buf to another, through its own buffer.
function attachment:copy(from, to, length)
  request(self, "copy", string.pack("<I8I8I8", from, to, length))
end

--- Unmaps the dma-buf; does nothing where it is not mapped.
function attachment:unmap()
  request(self, "unmap")
end

--- Detaches, after unmapping where needed.
function attachment:detach()
  request(self, "detach")
end

local function state(self)
  return string.unpack("<I4I4", request(self, "state", ("\0"):rep(8)))
end

--- Number of times that the exporter has asked to unmap.
function attachment:invalidations()
  return (state(self))
end

--- Whether it is mapped; a request of the exporter to unmap ends that.
function attachment:is_mapped()
  local _, mapped = state(self)
  return mapped == 1
end

--- The hint of the dma-buf that vfio_tph gives an importer: `st` and `ph` (0 to 3). `extended` asks for the 16-bit tag.
---@param extended? boolean
---@return { st: integer, ph: integer }
function attachment:hint(extended)
  local bytes = request(self, "hint", string.pack("<I4I4", extended and 1 or 0, 0))
  local _, st, ph = string.unpack("<I4I2I1", bytes)
  return { st = st, ph = ph }
end

--- Detaches and closes; a second call does nothing.
function attachment:close()
  if self.file then
    self.file:close()
    self.file = nil
  end
end
attachment.__close = attachment.close

return edu_importer
