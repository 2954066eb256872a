---@meta iommufd
-- Written by `peerlab stubs iommufd`.

---iommufd: I/O address spaces, and what devices may reach.
---@class iommufd
local iommufd = {}

---Opens a new context.
---Changes: open.
--- * `ENOENT`: no iommufd here
--- * `EACCES`: no permission
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

---what to map
---@class iommufd.ioas.map.request
---@field memory memory.mapping the memory
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end
---@field iova? integer I/O virtual address; default: the kernel's choice
---@field read? boolean devices may read; default true
---@field write? boolean devices may write; default true

---Maps memory of this process; returns the I/O virtual address.
---Changes: dma.
--- * `EFAULT`: cannot be pinned (a BAR)
--- * `EEXIST`: already mapped there
---@param request iommufd.ioas.map.request what to map
---@return integer
function iommufd_ioas:map(request) end

---what to map
---@class iommufd.ioas.map_file.request
---@field dmabuf vfio.dmabuf the dma-buf
---@field offset? integer|string start in it
---@field length integer|string bytes
---@field iova? integer I/O virtual address; default: the kernel's choice
---@field read? boolean devices may read; default true
---@field write? boolean devices may write; default true

---Maps a dma-buf (IOMMU_IOAS_MAP_FILE); returns the I/O virtual address.
---Changes: dma.
--- * `ENODEV`: the dma-buf is revoked
--- * `EOPNOTSUPP`: not VFIO's, or several ranges
--- * `EINVAL`: outside the dma-buf
---@param request iommufd.ioas.map_file.request what to map
---@return integer
function iommufd_ioas:map_file(request) end

---what to map
---@class iommufd.ioas.copy.request
---@field src_ioas iommufd.ioas an address space of the same context
---@field src_iova integer I/O virtual address there
---@field length integer|string bytes
---@field iova? integer I/O virtual address; default: the kernel's choice
---@field read? boolean devices may read; default true
---@field write? boolean devices may write; default true

---Maps here what another address space maps; returns the I/O virtual address.
---Changes: dma.
--- * `ENOENT`: not all of it is mapped there
---@param request iommufd.ioas.copy.request what to map
---@return integer
function iommufd_ioas:copy(request) end

---Unmaps; returns the bytes that were mapped.
--- * `ENOENT`: nothing is mapped there, or only in part
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
