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

---ibv_query_device.
---@return rdma.device
function rdma_context:query_device() end

---ibv_query_port.
---@param port_num? integer from 1
---@return rdma.port
function rdma_context:query_port(port_num) end

---ibv_alloc_pd.
---@return rdma.pd
function rdma_context:alloc_pd() end

---ibv_alloc_dmah.
---@param attributes { ph?: ("bidirectional"|"requester"|"target"|"target-priority"), cpu_id?: integer, tph_mem_type?: ("volatile"|"persistent") } what the handle carries
---@return rdma.dmah
function rdma_context:alloc_dmah(attributes) end

---The port's GIDs.
---@param port_num? integer from 1
---@return rdma.gid[]
function rdma_context:gids(port_num) end

---ibv_create_cq; with events, on a completion channel of its own.
---@param cqe? integer entries, at least so many
---@param options? { events?: boolean } what else it can do
---@return rdma.cq
function rdma_context:create_cq(cqe, options) end

---ibv_alloc_dm: memory of the NIC's own.
---@param length integer|string bytes
---@return rdma.dm
function rdma_context:alloc_dm(length) end

---ibv_get_async_event, acknowledged: what happened to the device or to what is open of it.
---@param timeout_ms? integer|string how long
---@return rdma.async_event
function rdma_context:wait_event(timeout_ms) end

---The device's pools of memory keys (RDMA netlink).
---@return rdma.frmr_pool[]
function rdma_context:frmr_pools() end

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

---ibv_reg_dm_mr. Work requests call its first byte 0; zero_based is added to the access.
---@param request { dm: rdma.dm, offset?: integer|string, length?: integer|string, access?: ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] } what to register
---@return rdma.mr
function rdma_pd:reg_dm_mr(request) end

---ibv_alloc_mw: a key of its own for a part of a region, once it is bound.
---@param type? integer 2 is bound by qp:post_send; 1 cannot be bound here
---@return rdma.mw
function rdma_pd:alloc_mw(type) end

---ibv_create_qp, in state RESET.
---@param request { send_cq: rdma.cq, recv_cq?: rdma.cq, max_send_wr?: integer, max_recv_wr?: integer, max_send_sge?: integer, max_recv_sge?: integer, max_inline_data?: integer, sq_sig_all?: boolean, qp_type?: ("rc"|"uc"|"ud"), srq?: rdma.srq } queues and capacities
---@return rdma.qp
function rdma_pd:create_qp(request) end

---ibv_create_ah.
---@param request { to: { qp_num: integer, lid?: integer, gid: string }, port_num?: integer, sgid_index?: integer } who gets the datagrams
---@return rdma.ah
function rdma_pd:create_ah(request) end

---ibv_create_srq: receive requests for several queue pairs.
---@param request { max_wr?: integer, max_sge?: integer } its capacity
---@return rdma.srq
function rdma_pd:create_srq(request) end

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

---What work requests call its first byte: its memory's address, or the iova given.
---@return integer
function rdma_mr:addr() end

---Bytes.
---@return integer
function rdma_mr:length() end

---The hint in the NIC's memory key, which it puts on the wire.
---@return rdma.tph
function rdma_mr:tph() end

---Closes it; twice is harmless.
function rdma_mr:close() end

---A completion queue.
---@class rdma.cq
local rdma_cq = {}

---ibv_poll_cq: completions, oldest first; none where none is there.
---@param count? integer at most so many
---@return rdma.completion[]
function rdma_cq:poll(count) end

---Polls until so many completions came. Those that came before an error are polled next.
---@param count? integer how many
---@param timeout_ms? integer|string how long
---@return rdma.completion[]
function rdma_cq:wait(count, timeout_ms) end

---ibv_req_notify_cq: the next completion makes an event. What is there already does not: poll after this.
---@param solicited? boolean only one that its sender asked for, or a bad one
function rdma_cq:req_notify(solicited) end

---ibv_get_cq_event, acknowledged: waits for an event without using the processor.
---@param timeout_ms? integer|string how long
function rdma_cq:wait_event(timeout_ms) end

---ibv_modify_cq: fewer events.
---@param attributes { cq_count: integer, cq_period?: integer } its moderation
function rdma_cq:modify(attributes) end

---Closes it; twice is harmless.
function rdma_cq:close() end

---A shared receive queue.
---@class rdma.srq
local rdma_srq = {}

---ibv_post_srq_recv of one request.
---@param request { wr_id?: integer, mr: rdma.mr, offset?: integer|string, length?: integer|string } where a message goes
function rdma_srq:post_recv(request) end

---ibv_modify_srq: an event (context:wait_event, "SRQ_LIMIT_REACHED") once fewer receive requests are left.
---@param attributes { srq_limit: integer } its limit
function rdma_srq:modify(attributes) end

---Closes it; twice is harmless.
function rdma_srq:close() end

---A queue pair.
---@class rdma.qp
local rdma_qp = {}

---What the peer connects to.
---@param port_num? integer from 1
---@param sgid_index? integer an entry of `context:gids`; default: RoCE v2 with an IPv4 address, else the highest type there is
---@return rdma.endpoint
function rdma_qp:endpoint(port_num, sgid_index) end

---ibv_modify_qp from RESET over INIT and RTR to RTS, of a connection.
---@param request { to: { qp_num: integer, lid?: integer, gid: string }, access?: ("remote_write"|"remote_read"|"remote_atomic")[], port_num?: integer, sgid_index?: integer, timeout?: integer, retry_cnt?: integer, rnr_retry?: integer } the peer, and how the connection behaves
function rdma_qp:connect(request) end

---ibv_modify_qp from RESET over INIT and RTR to RTS, of a queue pair for datagrams.
---@param request { qkey?: integer, port_num?: integer } its key
function rdma_qp:to_rts(request) end

---ibv_query_qp_data_in_order: whether the bytes of one such request are written in order at this side (of read, those that come back here). Only then the last byte tells that all are there.
---@param opcode ("rdma_write"|"rdma_write_with_imm"|"send"|"send_with_imm"|"rdma_read"|"atomic_cmp_and_swp"|"atomic_fetch_and_add") the kind of request
---@return boolean
function rdma_qp:query_data_in_order(opcode) end

---ibv_post_send of one request.
---@param request { opcode: ("rdma_write"|"rdma_write_with_imm"|"send"|"send_with_imm"|"rdma_read"|"atomic_cmp_and_swp"|"atomic_fetch_and_add"|"bind_mw"), mr: rdma.mr, offset?: integer|string, length?: integer|string, remote_addr?: integer, rkey?: integer, wr_id?: integer, signaled?: boolean, inline?: boolean, fence?: boolean, imm_data?: integer, compare_add?: integer, swap?: integer, solicited?: boolean, mw?: rdma.mw, mw_access_flags?: ("remote_write"|"remote_read"|"remote_atomic"|"zero_based")[], ah?: rdma.ah, remote_qpn?: integer, remote_qkey?: integer } the work request
function rdma_qp:post_send(request) end

---ibv_post_recv of one request.
---@param request { wr_id?: integer, mr: rdma.mr, offset?: integer|string, length?: integer|string } where a message goes
function rdma_qp:post_recv(request) end

---Closes it; twice is harmless.
function rdma_qp:close() end

---Where datagrams go.
---@class rdma.ah
local rdma_ah = {}

---Closes it; twice is harmless.
function rdma_ah:close() end

---Memory of a NIC's own.
---@class rdma.dm
local rdma_dm = {}

---Bytes.
---@return integer
function rdma_dm:length() end

---ibv_memcpy_to_dm.
---@param offset integer|string start in it
---@param bytes string what to write
function rdma_dm:write(offset, bytes) end

---ibv_memcpy_from_dm.
---@param offset integer|string start in it
---@param length integer|string bytes
---@return string
function rdma_dm:read(offset, length) end

---Closes it; twice is harmless.
function rdma_dm:close() end

---A memory window.
---@class rdma.mw
local rdma_mw = {}

---The remote key; another one from each qp:post_send on that binds it.
---@return integer
function rdma_mw:rkey() end

---Closes it; twice is harmless.
function rdma_mw:close() end

---Some of what an RDMA device is: struct ibv_device_attr.
---@class rdma.device
---@field fw_ver string its firmware's version
---@field vendor_id integer its vendor's id
---@field vendor_part_id integer its vendor's id of the part
---@field max_mr_size integer bytes: the largest memory region
---@field max_mr integer how many memory regions it can have
---@field max_pd integer how many protection domains
---@field phys_port_cnt integer how many ports it has
---@field atomic_cap string "none", or among what the "nic" or the "machine" does

---Some of what a port is: struct ibv_port_attr.
---@class rdma.port
---@field state string "active", or "state" and a number
---@field active_mtu integer bytes: the largest packet's payload
---@field lid integer its LID; 0 on Ethernet
---@field link_layer string "ethernet" or "infiniband"

---An entry of a port's table of GIDs.
---@class rdma.gid
---@field index integer its index
---@field gid string the GID: "fe80:0000:..."
---@field type string "ib", "roce-v1" or "roce-v2"

---What happened to an RDMA device: struct ibv_async_event.
---@class rdma.async_event
---@field event_type string IBV_EVENT_*: "CQ_ERR", "QP_ACCESS_ERR", "SRQ_LIMIT_REACHED", "PORT_ERR" and so on
---@field qp_num? integer the queue pair's number, where it is about one
---@field port_num? integer the port's number, where it is about one

---A pool of memory keys.
---@class rdma.frmr_pool
---@field num_dma_blocks integer how many pages a key of it can map
---@field access_flags integer IBV_ACCESS_* of its keys
---@field ats boolean whether its keys use translated addresses
---@field in_use integer how many of its keys are in use
---@field max_in_use integer the most that ever were
---@field queue_handles integer how many keys wait in it
---@field pinned_handles integer how many are kept when it is aged
---@field vendor_key integer the driver's own part of what tells pools apart
---@field kernel_vendor_key integer the same, of keys that the kernel uses
---@field st? integer of mlx5: the index of its keys' steering tag
---@field ph? string of mlx5: the processing hint of its keys

---The hint of a memory region, and where that is known from.
---@class rdma.tph
---@field verified boolean whether the key holds what was asked for; false where nothing tells
---@field reason? string why it is not
---@field asked? rdma.hint what set_tph asked for before it was registered
---@field enabled? boolean whether the key has a hint; nil where nothing tells
---@field st? integer the index of the key's steering tag
---@field ph? string the key's processing hint
---@field source? string what told it

---A hint, as `set_tph` takes it.
---@class rdma.hint
---@field st? integer 8-bit steering tag
---@field st_ext? integer 16-bit steering tag
---@field ph string processing hint

---What became of a work request: struct ibv_wc.
---@class rdma.completion
---@field wr_id integer as the request was called
---@field ok boolean whether it succeeded
---@field status string "SUCCESS", "REM_ACCESS_ERR"
---@field opcode string what was done, IBV_WC_*: "rdma_write", "recv"
---@field byte_len integer bytes: what came in, of a receive; a datagram's bytes begin 40 behind the request's offset
---@field qp_num integer the queue pair's number
---@field vendor_err integer the NIC's own reason
---@field src_qp? integer who sent a datagram
---@field imm_data? integer immediate data, where some came

---What the peer of a queue pair connects to.
---@class rdma.endpoint
---@field qp_num integer the queue pair's number
---@field lid integer its port's LID; 0 on Ethernet
---@field gid string its GID, 16 bytes

return rdma
