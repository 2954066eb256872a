--- Constants for the configuration space of a PCI function (include/uapi/linux/pci_regs.h), and common uses of them.
local vfio = require "vfio"

local pci = {
  VENDOR_ID = 0x00, -- 2 bytes
  DEVICE_ID = 0x02, -- 2 bytes
  COMMAND = 0x04, -- 2 bytes
  COMMAND_MEMORY = 0x2, -- the function responds to its memory BARs
  COMMAND_MASTER = 0x4, -- the function may send requests
  EXTENDED = 0x100, -- offset of the first extended capability
  EXT_CAP_TPH = 0x17, -- id of the TPH requester capability
}

--- Turns the memory decode of a VFIO device on or off. While it is off, vfio-pci revokes the device's dma-bufs.
---@param dev vfio.device
---@param on boolean
function pci.set_memory(dev, on)
  local command = dev:load(vfio.CONFIG, pci.COMMAND, 2)
  dev:store(vfio.CONFIG, pci.COMMAND, 2, on and command | pci.COMMAND_MEMORY or command & ~pci.COMMAND_MEMORY)
end

return pci
