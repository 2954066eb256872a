---@meta type1
-- Written by `peerlab stubs type1`.

---VFIO containers with the type1 IOMMU: the older way to give devices access to memory.
---@class type1
local type1 = {}

---Opens an empty container; the first device that joins it chooses the type1 IOMMU.
---Changes: open.
--- * `ENOENT`: no VFIO here
--- * `EACCES`: no permission
---@return type1.container
function type1.open() end

---A VFIO container.
---@class type1.container
local type1_container = {}

---what to map
---@class type1.container.map.request
---@field memory memory.mapping host memory, or a mapped BAR
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end
---@field iova integer I/O virtual address
---@field read? boolean devices may read; default true
---@field write? boolean devices may write; default true

---Maps memory of this process (VFIO_IOMMU_MAP_DMA).
---Changes: dma.
--- * `EEXIST`: already mapped there
--- * `EINVAL`: empty, unaligned or reserved
---@param request type1.container.map.request what to map
function type1_container:map(request) end

---Unmaps; returns the bytes that were mapped.
---@param iova integer I/O virtual address
---@param length integer|string bytes
---@return integer
function type1_container:unmap(iova, length) end

---Starts or stops to note which pages devices may have written (VFIO_IOMMU_DIRTY_PAGES).
--- * `EACCES`: not type 1v2
--- * `EINVAL`: no device has joined
---@param enabled boolean whether to
function type1_container:track_dirty_pages(enabled) end

---A bit for each page that devices may have written, the first page's in the lowest bit of the first byte. Where a device's IOMMU cannot tell, each that is mapped counts as written.
--- * `EINVAL`: not tracked, or a mapping is cut
---@param iova integer I/O virtual address of the first page
---@param length integer|string bytes: whole mappings
---@return string
function type1_container:dirty_bitmap(iova, length) end

---Its descriptor, for sys.ioctl.
---@return integer
function type1_container:fd() end

---Closes it; twice is harmless.
function type1_container:close() end

return type1
