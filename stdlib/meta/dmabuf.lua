---@meta dmabuf
-- Written by `peerlab stubs dmabuf`.

---Dma-bufs of exporters other than VFIO.
---@class dmabuf
local dmabuf = {}

---The dma-buf that a request of another driver made (udmabuf, a dma-heap, a GPU's PRIME_HANDLE_TO_FD), to be registered and mapped. It has a copy of the descriptor: sys.adopt closes the one that the request returned. Hints are for vfio's exports.
---Changes: raw.
--- * `EBADF`: not open
---@param fd integer what a request of its exporter returned
---@return vfio.dmabuf
function dmabuf.adopt(fd) end

return dmabuf
