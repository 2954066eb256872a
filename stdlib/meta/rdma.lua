---@meta rdma
-- Written by `peerlab stubs rdma`.

---RDMA devices, through libibverbs.
---@class rdma
local rdma = {}

---Names of the RDMA devices.
--- * `ENOSYS`: no RDMA on this machine
---@return string[]
function rdma.devices() end

---ibv_open_device.
---Changes: open.
--- * `ENODEV`: no such device
--- * `ENOSYS`: no RDMA on this machine
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

---what the handle carries
---@class rdma.context.alloc_dmah.attributes
---@field ph? ("bidirectional"|"requester"|"target"|"target-priority") processing hint
---@field cpu_id? integer CPU whose tag the platform is asked for
---@field tph_mem_type? ("volatile"|"persistent") memory type

---ibv_alloc_dmah.
--- * `EOPNOTSUPP`: the NIC's driver is not mlx5
--- * `EINVAL`: no hint
---@param attributes rdma.context.alloc_dmah.attributes what the handle carries
---@return rdma.dmah
function rdma_context:alloc_dmah(attributes) end

---The port's GIDs.
---@param port_num? integer from 1
---@return rdma.gid[]
function rdma_context:gids(port_num) end

---what else it can do
---@class rdma.context.create_cq.options
---@field events? boolean its completions can be waited for as events

---ibv_create_cq; with events, on a completion channel of its own.
--- * `EINVAL`: more than the device has
---@param cqe? integer entries, at least so many
---@param options? rdma.context.create_cq.options what else it can do
---@return rdma.cq
function rdma_context:create_cq(cqe, options) end

---ibv_alloc_dm: memory of the NIC's own.
--- * `EOPNOTSUPP`: the driver has no device memory
--- * `ENOMEM`: more than the NIC has left
---@param length integer|string bytes
---@return rdma.dm
function rdma_context:alloc_dm(length) end

---ibv_get_async_event, acknowledged: what happened to the device or to what is open of it.
--- * `ETIMEDOUT`: nothing happened in time
---@param timeout_ms? integer|string how long
---@return rdma.async_event
function rdma_context:wait_event(timeout_ms) end

---The device's pools of memory keys (RDMA netlink).
--- * `EOPNOTSUPP`: the kernel is older than 7.3
--- * `ENODATA`: the device has no pools
---@return rdma.frmr_pool[]
function rdma_context:frmr_pools() end

---Closes it; twice is harmless.
function rdma_context:close() end

---A protection domain.
---@class rdma.pd
local rdma_pd = {}

---what to register
---@class rdma.pd.reg_mr.request
---@field memory memory.mapping host memory
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end
---@field access? ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] IBV_ACCESS_*; default: local read only

---ibv_reg_mr.
---Changes: dma.
--- * `EFAULT`: the memory is not mapped, not writable, or a device's: of a BAR a dma-buf is registered (dev:export_dmabuf, pd:reg_dmabuf_mr)
--- * `EINVAL`: length 0, or remote_write or remote_atomic without local_write
--- * `EIO`: the device was removed, or has failed
--- * `ENOMEM`: no memory, or over the locked memory limit (ulimit -l)
--- * `EOPNOTSUPP`: the NIC's driver does not know an access flag (on_demand takes ODP)
---@param request rdma.pd.reg_mr.request what to register
---@return rdma.mr
function rdma_pd:reg_mr(request) end

---what to register
---@class rdma.pd.reg_dmabuf_mr.request
---@field dmabuf vfio.dmabuf the dma-buf
---@field offset? integer|string start in it
---@field length integer|string bytes
---@field iova? integer address that work requests use
---@field access? ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] IBV_ACCESS_*; default: local read only

---ibv_reg_dmabuf_mr.
---Changes: dma.
--- * `EADDRINUSE`: 7.3 maps no dma-buf of several ranges through an IOMMU: export one range, or put both devices below one switch (--bench sim:below-switch)
--- * `EBADF`: the descriptor is closed, or not open for that
--- * `EINVAL`: offset and iova must agree within the page, the range lie inside the dma-buf, remote_write and remote_atomic need local_write; or there is no peer-to-peer route to the exporter
--- * `EIO`: the device was removed, or has failed
--- * `ENODEV`: the dma-buf is revoked: memory decode is off, or its device was closed
--- * `ENOMEM`: no memory, or over the locked memory limit (ulimit -l)
--- * `EOPNOTSUPP`: the NIC's driver registers no dma-bufs, or not this exporter's; mlx5 (with ODP) and irdma take VFIO's
--- * `ETIMEDOUT`: the device did not answer in time; the kernel log may say why
---@param request rdma.pd.reg_dmabuf_mr.request what to register
---@return rdma.mr
function rdma_pd:reg_dmabuf_mr(request) end

---what to register
---@class rdma.pd.reg_mr_ex.request
---@field dmabuf vfio.dmabuf the dma-buf
---@field offset? integer|string start in it
---@field length integer|string bytes
---@field iova? integer address that work requests use
---@field access? ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] IBV_ACCESS_*; default: local read only
---@field dmah? rdma.dmah the requester's own hint

---ibv_reg_mr_ex of a dma-buf, with a DMA handle.
---Changes: dma.
--- * `EADDRINUSE`: 7.3 maps no dma-buf of several ranges through an IOMMU: export one range, or put both devices below one switch (--bench sim:below-switch)
--- * `EBADF`: the descriptor is closed, or not open for that
--- * `EFAULT`: the memory is not mapped, not writable, or a device's, of which a dma-buf is registered
--- * `EINVAL`: offset and iova must agree within the page, the range lie inside the dma-buf, remote_write and remote_atomic need local_write; or there is no peer-to-peer route to the exporter
--- * `EIO`: the device was removed, or has failed
--- * `ENODEV`: the dma-buf is revoked: memory decode is off, or its device was closed
--- * `ENOENT`: the DMA handle is not of this context, or gone
--- * `ENOMEM`: no memory, or over the locked memory limit (ulimit -l)
--- * `EOPNOTSUPP`: the NIC's driver takes no DMA handle, registers no dma-bufs, or not this exporter's; mlx5 (with ODP) does
--- * `EPROTONOSUPPORT`: this kernel registers no memory so (it lacks UVERBS_METHOD_REG_MR)
--- * `ETIMEDOUT`: the device did not answer in time; the kernel log may say why
---@param request rdma.pd.reg_mr_ex.request what to register
---@return rdma.mr
function rdma_pd:reg_mr_ex(request) end

---what to register
---@class rdma.pd.mlx5dv_reg_dmabuf_mr.request
---@field dmabuf vfio.dmabuf the dma-buf
---@field offset? integer|string start in it
---@field length integer|string bytes
---@field iova? integer address that work requests use
---@field access? ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] IBV_ACCESS_*; default: local read only
---@field data_direct? boolean through data direct

---mlx5dv_reg_dmabuf_mr.
---Changes: dma.
--- * `EADDRINUSE`: 7.3 maps no dma-buf of several ranges through an IOMMU: export one range, or put both devices below one switch (--bench sim:below-switch)
--- * `EBADF`: the descriptor is closed, or not open for that
--- * `EINVAL`: offset and iova must agree within the page, the range lie inside the dma-buf, remote_write and remote_atomic need local_write; or there is no peer-to-peer route to the exporter
--- * `EIO`: the device was removed, or has failed
--- * `ENODEV`: the dma-buf is revoked: memory decode is off, or its device was closed
--- * `ENOMEM`: no memory, or over the locked memory limit (ulimit -l)
--- * `ENOSYS`: the installed libmlx5 is older than rdma-core 54, which has it, and libibverbs loads it for mlx5's devices alone
--- * `EOPNOTSUPP`: the device is not mlx5's, or has no ODP; through data direct, iova is not page aligned, the exporter does not pin (VFIO does not), or the NIC has no keys of another function's (crossing_vhca_mkey)
--- * `ETIMEDOUT`: the device did not answer in time; the kernel log may say why
---@param request rdma.pd.mlx5dv_reg_dmabuf_mr.request what to register
---@return rdma.mr
function rdma_pd:mlx5dv_reg_dmabuf_mr(request) end

---what to register
---@class rdma.pd.reg_dm_mr.request
---@field dm rdma.dm the device memory
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end
---@field access? ("local_write"|"remote_write"|"remote_read"|"remote_atomic"|"mw_bind"|"zero_based"|"on_demand"|"hugetlb"|"relaxed_ordering")[] IBV_ACCESS_*; default: local read only

---ibv_reg_dm_mr. Work requests call its first byte 0; zero_based is added to the access.
---Changes: dma.
--- * `EINVAL`: range or access
--- * `EOPNOTSUPP`: the driver has no device memory
---@param request rdma.pd.reg_dm_mr.request what to register
---@return rdma.mr
function rdma_pd:reg_dm_mr(request) end

---ibv_alloc_mw: a key of its own for a part of a region, once it is bound.
--- * `EOPNOTSUPP`: the driver has none of this type
---@param type? integer 2 is bound by qp:post_send; 1 cannot be bound here
---@return rdma.mw
function rdma_pd:alloc_mw(type) end

---queues and capacities
---@class rdma.pd.create_qp.request
---@field send_cq rdma.cq where sends complete
---@field recv_cq? rdma.cq where receives do; default: send_cq
---@field max_send_wr? integer places for sends
---@field max_recv_wr? integer places for receives
---@field max_send_sge? integer pieces of a send
---@field max_recv_sge? integer pieces of a receive
---@field max_inline_data? integer bytes that can be sent inline
---@field sq_sig_all? boolean every send completes, whatever its flags
---@field qp_type? ("rc"|"uc"|"ud") reliable connection (the default), unreliable connection, or datagrams
---@field srq? rdma.srq where receive requests come from

---ibv_create_qp, in state RESET.
--- * `EINVAL`: more than the device has
--- * `ENOMEM`: no memory for it
---@param request rdma.pd.create_qp.request queues and capacities
---@return rdma.qp
function rdma_pd:create_qp(request) end

---who gets the datagrams
---@class rdma.pd.create_ah.request
---@field to rdma.endpoint the peer's endpoint
---@field port_num? integer from 1
---@field sgid_index? integer an entry of `context:gids`; default: RoCE v2 with an IPv4 address, else the highest type there is

---ibv_create_ah.
--- * `EINVAL`: a port or GID that the device does not have
---@param request rdma.pd.create_ah.request who gets the datagrams
---@return rdma.ah
function rdma_pd:create_ah(request) end

---its capacity
---@class rdma.pd.create_srq.request
---@field max_wr? integer receive requests
---@field max_sge? integer pieces of each

---ibv_create_srq: receive requests for several queue pairs.
--- * `EINVAL`: more than the device has
---@param request rdma.pd.create_srq.request its capacity
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
--- * `ETIMEDOUT`: they did not come in time
---@param count? integer how many
---@param timeout_ms? integer|string how long
---@return rdma.completion[]
function rdma_cq:wait(count, timeout_ms) end

---ibv_req_notify_cq: the next completion makes an event. What is there already does not: poll after this.
--- * `EINVAL`: it was created without events
---@param solicited? boolean only one that its sender asked for, or a bad one
function rdma_cq:req_notify(solicited) end

---ibv_get_cq_event, acknowledged: waits for an event without using the processor.
--- * `ETIMEDOUT`: none came in time
--- * `EINVAL`: it was created without events
---@param timeout_ms? integer|string how long
function rdma_cq:wait_event(timeout_ms) end

---its moderation
---@class rdma.cq.modify.attributes
---@field cq_count integer completions that make an event
---@field cq_period? integer or microseconds after the first of them

---ibv_modify_cq: fewer events.
--- * `EOPNOTSUPP`: the NIC's driver has no moderation
--- * `EINVAL`: longer than it can wait
---@param attributes rdma.cq.modify.attributes its moderation
function rdma_cq:modify(attributes) end

---Closes it; twice is harmless.
function rdma_cq:close() end

---A shared receive queue.
---@class rdma.srq
local rdma_srq = {}

---where a message goes
---@class rdma.srq.post_recv.request
---@field wr_id? integer what its completion is called
---@field mr rdma.mr the local memory region
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end

---ibv_post_srq_recv of one request.
---Changes: dma.
--- * `ENOMEM`: the queue is full
---@param request rdma.srq.post_recv.request where a message goes
function rdma_srq:post_recv(request) end

---its limit
---@class rdma.srq.modify.attributes
---@field srq_limit integer receive requests; 0 for none

---ibv_modify_srq: an event (context:wait_event, "SRQ_LIMIT_REACHED") once fewer receive requests are left.
--- * `EINVAL`: more than the queue holds
---@param attributes rdma.srq.modify.attributes its limit
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

---the peer, and how the connection behaves
---@class rdma.qp.connect.request
---@field to rdma.endpoint the peer's endpoint
---@field access? ("remote_write"|"remote_read"|"remote_atomic")[] what the peer may do; default: all
---@field port_num? integer from 1
---@field sgid_index? integer an entry of `context:gids`; default: RoCE v2 with an IPv4 address, else the highest type there is
---@field timeout? integer 4.096 us * 2^timeout; 0 for ever
---@field retry_cnt? integer how often a lost request is sent again
---@field rnr_retry? integer how often one that finds no receive is; 7 is for ever

---ibv_modify_qp from RESET over INIT and RTR to RTS, of a connection.
--- * `EINVAL`: it is connected already, or the peer's values are none
---@param request rdma.qp.connect.request the peer, and how the connection behaves
function rdma_qp:connect(request) end

---its key
---@class rdma.qp.to_rts.request
---@field qkey? integer what senders must name
---@field port_num? integer from 1

---ibv_modify_qp from RESET over INIT and RTR to RTS, of a queue pair for datagrams.
--- * `EINVAL`: it is a connection, or past RESET
---@param request rdma.qp.to_rts.request its key
function rdma_qp:to_rts(request) end

---ibv_query_qp_data_in_order: whether the bytes of one such request are written in order at this side (of read, those that come back here). Only then the last byte tells that all are there.
---@param opcode ("rdma_write"|"rdma_write_with_imm"|"send"|"send_with_imm"|"rdma_read"|"atomic_cmp_and_swp"|"atomic_fetch_and_add") the kind of request
---@return boolean
function rdma_qp:query_data_in_order(opcode) end

---the work request
---@class rdma.qp.post_send.request
---@field opcode ("rdma_write"|"rdma_write_with_imm"|"send"|"send_with_imm"|"rdma_read"|"atomic_cmp_and_swp"|"atomic_fetch_and_add"|"bind_mw") what is done, IBV_WR_*
---@field mr rdma.mr the local memory region
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end
---@field remote_addr? integer address in the peer's region, as `mr:addr` gives it, which RDMA and atomics need
---@field rkey? integer the peer's region's or window's key, which RDMA and atomics need; of bind_mw the window's new one, whose lowest byte counts; default: one more
---@field wr_id? integer what its completion is called
---@field signaled? boolean completes with success too; default true
---@field inline? boolean the bytes are taken at once, without the region's key
---@field fence? boolean waits for reads and atomics before it
---@field imm_data? integer immediate data
---@field compare_add? integer what an atomic compares with or adds
---@field swap? integer what atomic_cmp_and_swp leaves
---@field solicited? boolean asks for an event at the receiver
---@field mw? rdma.mw the window that bind_mw binds to a part of `mr`
---@field mw_access_flags? ("remote_write"|"remote_read"|"remote_atomic"|"zero_based")[] what a peer may do by the window
---@field ah? rdma.ah where a datagram goes
---@field remote_qpn? integer the receiver's number, of a datagram
---@field remote_qkey? integer the receiver's key, of a datagram

---ibv_post_send of one request.
---Changes: dma.
--- * `ENOMEM`: the send queue is full: poll its completions; of mlx5 also: not connected
--- * `EINVAL`: not connected
---@param request rdma.qp.post_send.request the work request
function rdma_qp:post_send(request) end

---where a message goes
---@class rdma.qp.post_recv.request
---@field wr_id? integer what its completion is called
---@field mr rdma.mr the local memory region
---@field offset? integer|string start in it
---@field length? integer|string bytes; default: to its end

---ibv_post_recv of one request.
---Changes: dma.
--- * `ENOMEM`: the receive queue is full
---@param request rdma.qp.post_recv.request where a message goes
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
---Changes: region_write.
--- * `EFAULT`: it reaches outside the device memory
---@param offset integer|string start in it
---@param bytes string what to write
function rdma_dm:write(offset, bytes) end

---ibv_memcpy_from_dm.
--- * `EFAULT`: it reaches outside the device memory
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
