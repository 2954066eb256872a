---@meta vfio
-- Written by `peerlab stubs vfio`.

---VFIO PCI devices.
---@class vfio
---@field CONFIG integer region index of the configuration space
---@field ROM integer region index of the expansion ROM
local vfio = {}

---how to open it
---@class vfio.open.options
---@field via? ("auto"|"cdev"|"group") cdev and iommufd, or group and container; default: cdev where it and /dev/iommu are there
---@field iommufd? iommufd.context context to bind to (cdev)
---@field container? type1.container container to join (group)

---Opens a device that is bound to a VFIO driver.
---Changes: open.
--- * `ENOENT`: no such PCI function
--- * `ENODEV`: not bound to a VFIO driver
--- * `EPERM`: a sibling in its IOMMU group is in use by a host driver
--- * `EACCES`: no permission
---@param address string PCI address, "0000:3b:00.0" or "3b:00.0"
---@param options? vfio.open.options how to open it
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
--- * `EINVAL`: no such index
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@return vfio.region
function vfio_device:region_info(region) end

---VFIO_DEVICE_GET_IRQ_INFO.
---@param index integer INTx 0, MSI 1, MSI-X 2, error 3, request 4
---@return vfio.irq
function vfio_device:irq_info(index) end

---Reads bytes from a region; fewer where the region ends.
--- * `EIO`: memory decode is off
--- * `EINVAL`: offset beyond the region
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param length integer|string bytes
---@return string
function vfio_device:read(region, offset, length) end

---Writes bytes to a region; returns how many.
---Changes: region_write; where region is 7: config_write.
--- * `EIO`: memory decode is off
--- * `EINVAL`: offset beyond the region
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param bytes string what to write
---@return integer
function vfio_device:write(region, offset, bytes) end

---Reads one little-endian number with one access.
--- * `EIO`: memory decode is off
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param width integer bytes that are accessed: 1, 2, 4 or 8
---@return integer
function vfio_device:load(region, offset, width) end

---Writes one little-endian number with one access.
---Changes: region_write; where region is 7: config_write.
--- * `EIO`: memory decode is off
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param offset integer|string byte offset in the region
---@param width integer bytes that are accessed: 1, 2, 4 or 8
---@param value integer the number
function vfio_device:store(region, offset, width, value) end

---the part to map; default: all
---@class vfio.device.mmap.range
---@field offset? integer|string start, page aligned
---@field length? integer|string bytes; default: to the end of the region

---Maps a region into this process.
---Changes: region_write.
--- * `EINVAL`: not mappable, or not page aligned
---@param region integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@param range? vfio.device.mmap.range the part to map; default: all
---@return memory.mapping
function vfio_device:mmap(region, range) end

---Resets the function; its dma-bufs are revoked meanwhile.
---Changes: reset.
--- * `EINVAL`: no function reset
--- * `EAGAIN`: lock contention
function vfio_device:reset() end

---Attaches to an address space; returns the id of the hardware page table.
---Changes: dma.
--- * `ENOENT`: not of the device's iommufd
--- * `ENOTTY`: opened through its group
---@param ioas iommufd.ioas an address space of the device's iommufd
---@return integer
function vfio_device:attach(ioas) end

---Detaches from its address space.
function vfio_device:detach() end

---the request
---@class vfio.device.feature.request
---@field number integer VFIO_DEVICE_FEATURE_*
---@field operation ("get"|"set"|"probe")[] which bits to set
---@field data? string what follows the 8-byte header

---One VFIO_DEVICE_FEATURE call with data of your own; returns the result and the data after it.
---Changes: raw.
--- * `ENOTTY`: unknown feature
--- * `EINVAL`: operation or size not the feature's
---@param request vfio.device.feature.request the request
---@return integer, string
function vfio_device:feature(request) end

---the parts to export, in order
---@class vfio.device.export_dmabuf.request.ranges
---@field offset integer|string start in the region
---@field length integer|string bytes

---what to export
---@class vfio.device.export_dmabuf.request
---@field region_index integer region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8
---@field ranges vfio.device.export_dmabuf.request.ranges[] the parts to export, in order
---@field open_flags? integer open flags of the new descriptor; default O_RDWR|O_CLOEXEC

---Exports ranges of a BAR as a dma-buf (VFIO_DEVICE_FEATURE_DMA_BUF).
--- * `EINVAL`: no range, an empty or unaligned one, or one past the region's end
--- * `ENODEV`: not a memory BAR
--- * `EOVERFLOW`: a range wraps
--- * `ENOTTY`: the kernel has no export
---@param request vfio.device.export_dmabuf.request what to export
---@return vfio.dmabuf
function vfio_device:export_dmabuf(request) end

---Closes it; twice is harmless.
function vfio_device:close() end

---A dma-buf: what a VFIO device exported, or what dmabuf.adopt was given.
---@class vfio.dmabuf
local vfio_dmabuf = {}

---Bytes.
---@return integer
function vfio_dmabuf:length() end

---Its descriptor, for sys.ioctl.
---@return integer
function vfio_dmabuf:fd() end

---Names it (DMA_BUF_SET_NAME).
--- * `EINVAL`: longer than 31 bytes
---@param name string at most 31 bytes
function vfio_dmabuf:set_name(name) end

---What its fdinfo says.
---@return vfio.dmabuf_info
function vfio_dmabuf:info() end

---DMA_BUF_IOCTL_SYNC.
--- * `EINVAL`: neither read nor write
---@param flags ("read"|"write"|"start"|"end")[] what the CPU is about to do, or has done
function vfio_dmabuf:sync(flags) end

---Sets the hint that importers ask for when they register it (VFIO_DEVICE_FEATURE_DMA_BUF_TPH).
--- * `ENOTTY`: this kernel has no such feature
--- * `EOPNOTSUPP`: the exporter is no TPH completer
--- * `EBUSY`: already set (v4)
---@param hint rdma.hint the hint
function vfio_dmabuf:set_tph(hint) end

---Takes the hint back (v6 and later).
--- * `ENOTTY`: this kernel has no such feature
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
