---@meta type1
-- Written by `peerlab stubs type1`.

---VFIO containers with the type1 IOMMU: the older way to give devices access to memory.
---@class type1
local type1 = {}

---Opens an empty container; the first device that joins it chooses the type1 IOMMU.
---@return type1.container
function type1.open() end

---A VFIO container.
---@class type1.container
local type1_container = {}

---Maps memory of this process (VFIO_IOMMU_MAP_DMA).
---@param request { memory: memory.mapping, offset?: integer|string, length?: integer|string, iova: integer, read?: boolean, write?: boolean } what to map
function type1_container:map(request) end

---Unmaps; returns the bytes that were mapped.
---@param iova integer I/O virtual address
---@param length integer|string bytes
---@return integer
function type1_container:unmap(iova, length) end

---Starts or stops to note which pages devices may have written (VFIO_IOMMU_DIRTY_PAGES).
---@param enabled boolean whether to
function type1_container:track_dirty_pages(enabled) end

---A bit for each page that devices may have written, the first page's in the lowest bit of the first byte. Where a device's IOMMU cannot tell, each that is mapped counts as written.
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
