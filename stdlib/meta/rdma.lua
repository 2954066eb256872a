---@meta rdma
-- Written by `peerlab stubs rdma`.

---RDMA devices, through libibverbs.
---@class rdma
local rdma = {}

---Names of the RDMA devices.
---@return string[]
function rdma.devices() end

---ibv_open_device.
---@param name string "mlx5_0"
---@return rdma.context
function rdma.open(name) end

---An open RDMA device.
---@class rdma.context
local rdma_context = {}

---Some of ibv_query_device: firmware, limits.
---@return rdma.device
function rdma_context:query() end

---Some of ibv_query_port: state, MTU, LID, link layer.
---@param port? integer from 1
---@return rdma.port
function rdma_context:query_port(port) end

---ibv_alloc_pd.
---@return rdma.pd
function rdma_context:alloc_pd() end

---ibv_alloc_dmah.
---@param attributes { ph?: ("bidirectional"|"requester"|"target"|"target-priority"), cpu_id?: integer, mem_type?: ("volatile"|"persistent") } what the handle carries
---@return rdma.dmah
function rdma_context:alloc_dmah(attributes) end

---Closes it; twice is harmless.
function rdma_context:close() end

---A protection domain.
---@class rdma.pd
local rdma_pd = {}

---ibv_reg_mr.
---@param request { memory: memory.mapping, offset?: integer|string, length?: integer|string, access?: ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] } what to register
---@return rdma.mr
function rdma_pd:reg_mr(request) end

---ibv_reg_dmabuf_mr.
---@param request { dmabuf: vfio.dmabuf, offset?: integer|string, length: integer|string, iova?: integer, access?: ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] } what to register
---@return rdma.mr
function rdma_pd:reg_dmabuf_mr(request) end

---ibv_reg_mr_ex of a dma-buf, with a DMA handle.
---@param request { dmabuf: vfio.dmabuf, offset?: integer|string, length: integer|string, iova?: integer, access?: ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[], dmah?: rdma.dmah } what to register
---@return rdma.mr
function rdma_pd:reg_mr_ex(request) end

---mlx5dv_reg_dmabuf_mr.
---@param request { dmabuf: vfio.dmabuf, offset?: integer|string, length: integer|string, iova?: integer, access?: ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[], data_direct?: boolean } what to register
---@return rdma.mr
function rdma_pd:mlx5dv_reg_dmabuf_mr(request) end

---Closes it; twice is harmless.
function rdma_pd:close() end

---A DMA handle: a processing hint of the requester's own.
---@class rdma.dmah
local rdma_dmah = {}

---Closes it; twice is harmless.
function rdma_dmah:close() end

---A registered memory region.
---@class rdma.mr
local rdma_mr = {}

---The local key.
---@return integer
function rdma_mr:lkey() end

---The remote key.
---@return integer
function rdma_mr:rkey() end

---Bytes.
---@return integer
function rdma_mr:length() end

---The hint in the NIC's memory key, which it puts on the wire: enabled, st, ph, source; verified is false, with a reason, where nothing tells.
---@return rdma.tph
function rdma_mr:tph() end

---Closes it; twice is harmless.
function rdma_mr:close() end

return rdma
