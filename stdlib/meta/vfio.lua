---@meta vfio
-- Written by `peerlab stubs vfio`.

---VFIO PCI devices.
---@class vfio
---@field CONFIG integer region index of the configuration space
---@field ROM integer region index of the expansion ROM
local vfio = {}

---Opens a device that is bound to a VFIO driver.
---@param address string PCI address, "0000:3b:00.0" or "3b:00.0"
---@param options? { via?: ("auto"|"cdev"|"group"), iommufd?: iommufd.context, container?: type1.container } how to open it
---@return vfio.device
function vfio.open(address, options) end

---The PCI functions that a VFIO driver has, by address.
---@return vfio.function[]
function vfio.devices() end

---An open VFIO PCI device.
---@class vfio.device
local vfio_device = {}

---Its PCI address.
---@return string
function vfio_device:address() end

---Its descriptor, for sys.ioctl.
---@return integer
function vfio_device:fd() end

---VFIO_DEVICE_GET_INFO.
---@return vfio.info
function vfio_device:info() end

---VFIO_DEVICE_GET_REGION_INFO.
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@return vfio.region
function vfio_device:region_info(region) end

---VFIO_DEVICE_GET_IRQ_INFO.
---@param index integer INTx 0, MSI 1, MSI-X 2, error 3, request 4
---@return vfio.irq
function vfio_device:irq_info(index) end

---Reads bytes from a region; fewer where the region ends.
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param length integer|string bytes
---@return string
function vfio_device:read(region, offset, length) end

---Writes bytes to a region; returns how many.
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param bytes string what to write
---@return integer
function vfio_device:write(region, offset, bytes) end

---Reads one little-endian number with one access.
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param width integer bytes that are accessed: 1, 2, 4 or 8
---@return integer
function vfio_device:load(region, offset, width) end

---Writes one little-endian number with one access.
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param width integer bytes that are accessed: 1, 2, 4 or 8
---@param value integer the number
function vfio_device:store(region, offset, width, value) end

---Maps a region into this process.
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param range? { offset?: integer|string, length?: integer|string } the part to map; default: all
---@return memory.mapping
function vfio_device:mmap(region, range) end

---Resets the function; its dma-bufs are revoked meanwhile.
function vfio_device:reset() end

---Attaches to an address space; returns the id of the hardware page table.
---@param ioas iommufd.ioas an address space of the device's iommufd
---@return integer
function vfio_device:attach(ioas) end

---Detaches from its address space.
function vfio_device:detach() end

---One VFIO_DEVICE_FEATURE call with data of your own; returns the result and the data after it.
---@param request { number: integer, operation: ("get"|"set"|"probe")[], data?: string } the request
---@return integer, string
function vfio_device:feature(request) end

---Exports ranges of a BAR as a dma-buf (VFIO_DEVICE_FEATURE_DMA_BUF).
---@param request { region_index: integer, ranges: { offset: integer|string, length: integer|string }[], open_flags?: integer } what to export
---@return vfio.dmabuf
function vfio_device:export_dmabuf(request) end

---Closes it; twice is harmless.
function vfio_device:close() end

---A dma-buf that a VFIO device exported.
---@class vfio.dmabuf
local vfio_dmabuf = {}

---Bytes.
---@return integer
function vfio_dmabuf:length() end

---Its descriptor, for sys.ioctl.
---@return integer
function vfio_dmabuf:fd() end

---Names it (DMA_BUF_SET_NAME).
---@param name string at most 31 bytes
function vfio_dmabuf:set_name(name) end

---What its fdinfo says.
---@return vfio.dmabuf_info
function vfio_dmabuf:info() end

---DMA_BUF_IOCTL_SYNC.
---@param flags ("read"|"write"|"start"|"end")[] what the CPU is about to do, or has done
function vfio_dmabuf:sync(flags) end

---Sets the hint that importers ask for when they register it (VFIO_DEVICE_FEATURE_DMA_BUF_TPH).
---@param hint { st?: integer, st_ext?: integer, ph: ("bidirectional"|"requester"|"target"|"target-priority") } the hint
function vfio_dmabuf:set_tph(hint) end

---Takes the hint back (v6 and later).
function vfio_dmabuf:clear_tph() end

---Closes it; twice is harmless.
function vfio_dmabuf:close() end

---A PCI function that a VFIO driver has.
---@class vfio.function
---@field address string its PCI address
---@field id string vendor and device, "8086:1563"
---@field driver? string the driver that has it
---@field group? integer its IOMMU group
---@field cdev? string its character device's name, "vfio0"

---What VFIO_DEVICE_GET_INFO says of a device.
---@class vfio.info
---@field flags integer VFIO_DEVICE_FLAGS_*
---@field num_regions integer how many regions there are
---@field num_irqs integer how many interrupt indices there are
---@field reset boolean whether it can be reset

---What VFIO_DEVICE_GET_REGION_INFO says of a region.
---@class vfio.region
---@field index integer its index
---@field size integer bytes: its size; 0 where the device has no such region
---@field offset integer bytes: where it begins in the device's file
---@field flags integer VFIO_REGION_INFO_FLAG_*
---@field read boolean whether it can be read
---@field write boolean whether it can be written
---@field mmap boolean whether it can be mapped

---What VFIO_DEVICE_GET_IRQ_INFO says of an interrupt index.
---@class vfio.irq
---@field index integer INTx 0, MSI 1, MSI-X 2, error 3, request 4
---@field flags integer VFIO_IRQ_INFO_*
---@field count integer how many vectors it has

---What the fdinfo of a dma-buf's descriptor says.
---@class vfio.dmabuf_info
---@field size integer bytes: its size
---@field count integer references to its file, less the one that reading takes
---@field exporter string the exporting driver
---@field name string as `set_name` gave it; empty for none
---@field inode integer its inode's number

return vfio
