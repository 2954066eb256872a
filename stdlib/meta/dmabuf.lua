---@meta dmabuf
-- Written by `peerlab stubs dmabuf`.

---Dma-bufs of exporters other than VFIO.
---@class dmabuf
local dmabuf = {}

---Takes over the descriptor of a dma-buf that a request of another driver made (udmabuf, a dma-heap, a GPU's PRIME_HANDLE_TO_FD), so that it can be registered and mapped, and is closed. Hints are for VFIO's exports.
---Changes: raw.
--- * `EBADF`: not open
---@param fd integer what a request of its exporter returned
---@return vfio.dmabuf
function dmabuf.adopt(fd) end

return dmabuf
