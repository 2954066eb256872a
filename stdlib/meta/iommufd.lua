---@meta iommufd
-- Written by `peerlab stubs iommufd`.

---iommufd: I/O address spaces, and what devices may reach.
---@class iommufd
local iommufd = {}

---Opens a new context.
---@return iommufd.context
function iommufd.open() end

---An iommufd context.
---@class iommufd.context
local iommufd_context = {}

---A new I/O address space.
---@return iommufd.ioas
function iommufd_context:alloc_ioas() end

---Its descriptor, for sys.ioctl.
---@return integer
function iommufd_context:fd() end

---Closes it; twice is harmless.
function iommufd_context:close() end

---An I/O address space.
---@class iommufd.ioas
local iommufd_ioas = {}

---Its id in the context.
---@return integer
function iommufd_ioas:id() end

---Maps memory of this process; returns the I/O virtual address.
---@param request { memory: memory.mapping, offset?: integer|string, length?: integer|string, iova?: integer, read?: boolean, write?: boolean } what to map
---@return integer
function iommufd_ioas:map(request) end

---Maps a dma-buf (IOMMU_IOAS_MAP_FILE); returns the I/O virtual address.
---@param request { dmabuf: vfio.dmabuf, offset?: integer|string, length: integer|string, iova?: integer, read?: boolean, write?: boolean } what to map
---@return integer
function iommufd_ioas:map_file(request) end

---Maps here what another address space maps; returns the I/O virtual address.
---@param request { src_ioas: iommufd.ioas, src_iova: integer, length: integer|string, iova?: integer, read?: boolean, write?: boolean } what to map
---@return integer
function iommufd_ioas:copy(request) end

---Unmaps; returns the bytes that were mapped.
---@param iova integer I/O virtual address
---@param length integer|string bytes
---@return integer
function iommufd_ioas:unmap(iova, length) end

---IOMMU_IOAS_IOVA_RANGES. Numbers are unsigned.
---@return iommufd.ranges
function iommufd_ioas:iova_ranges() end

---Closes it; twice is harmless.
function iommufd_ioas:close() end

---What IOMMU_IOAS_IOVA_RANGES says of an address space.
---@class iommufd.ranges
---@field ranges iommufd.range[] the usable addresses, ascending
---@field iova_alignment integer bytes: what mappings need

---Addresses that can be mapped.
---@class iommufd.range
---@field start integer the first address
---@field last integer the last one; -1 is 2^64-1, the last of all while no device is attached

return iommufd
