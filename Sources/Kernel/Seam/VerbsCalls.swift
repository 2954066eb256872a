public import CKernel

/// The libibverbs functions: the other half of the seam. One requirement a function, same name, argument order and C
/// types; the library's several error conventions are one here (a thrown errno). Below this line lie private formats of
/// the providers, which nobody documents.
public protocol VerbsCalls: AnyObject {
    /// ibv_get_device_list(3): the devices; ENOSYS where the kernel has no RDMA. The pointers stay valid for as long as
    /// this object lives.
    func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>]
    /// ibv_open_device(3).
    func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno) -> UnsafeMutablePointer<ibv_context>
    /// ibv_close_device(3).
    func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
    /// ibv_query_device(3).
    func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr
    /// ibv_query_port(3). Ports count from 1.
    func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno) -> ibv_port_attr
    /// ibv_alloc_pd(3).
    func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> UnsafeMutablePointer<ibv_pd>
    /// ibv_dealloc_pd(3). EBUSY while a memory region uses it.
    func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno)
    /// ibv_reg_mr(3). `address` is host memory of this process.
    func ibv_reg_mr(_ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32)
        throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// ibv_reg_dmabuf_mr(3).
    func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// ibv_dereg_mr(3).
    func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno)
    /// ibv_reg_mr_ex(3), rdma-core 59 and later; ENOSYS where the library lacks it.
    func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    /// ibv_alloc_dmah(3), rdma-core 59 and later; ENOSYS where the library lacks it.
    func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes) throws(Errno)
        -> UnsafeMutableRawPointer
    /// ibv_dealloc_dmah(3). EBUSY while a memory region uses it.
    func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno)
    /// mlx5dv_reg_dmabuf_mr(3), rdma-core 54 and later; ENOSYS where the library lacks it. `mlx5Access` bit 0 asks for
    /// data direct.
    func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// ibv_query_gid_table(3): the entries with a GID, of all ports.
    func ibv_query_gid_table(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [ibv_gid_entry]
    /// ibv_create_comp_channel(3).
    func ibv_create_comp_channel(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    /// ibv_destroy_comp_channel(3). EBUSY while a completion queue uses it.
    func ibv_destroy_comp_channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno)
    /// ibv_create_cq(3), of at least `entries`, perhaps with a channel for its events.
    func ibv_create_cq(
        _ context: UnsafeMutablePointer<ibv_context>, _ entries: Int32,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq>
    /// ibv_req_notify_cq(3): the next completion is an event; of `solicitedOnly`, the next that its sender asked for, or bad
    /// one.
    func ibv_req_notify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ solicitedOnly: Bool) throws(Errno)
    /// ibv_get_cq_event(3) and ibv_ack_cq_events(3): whether an event came within so many milliseconds.
    func ibv_get_cq_event(_ channel: UnsafeMutablePointer<ibv_comp_channel>, _ milliseconds: Int32) throws(Errno)
        -> Bool
    /// ibv_modify_cq(3), moderation: an event after `count` completions, or `period` microseconds.
    func ibv_modify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: UInt16, _ period: UInt16) throws(Errno)
    /// ibv_destroy_cq(3). EBUSY while a queue pair uses it.
    func ibv_destroy_cq(_ cq: UnsafeMutablePointer<ibv_cq>) throws(Errno)
    /// ibv_create_qp(3). The capabilities become what was granted.
    func ibv_create_qp(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: inout ibv_qp_init_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_qp>
    /// ibv_destroy_qp(3).
    func ibv_destroy_qp(_ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno)
    /// ibv_create_ah(3): where a datagram goes.
    func ibv_create_ah(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_ah_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_ah>
    /// ibv_destroy_ah(3).
    func ibv_destroy_ah(_ ah: UnsafeMutablePointer<ibv_ah>) throws(Errno)
    /// ibv_create_srq(3).
    func ibv_create_srq(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_srq_init_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_srq>
    /// ibv_destroy_srq(3). EBUSY while a queue pair uses it.
    func ibv_destroy_srq(_ srq: UnsafeMutablePointer<ibv_srq>) throws(Errno)
    /// ibv_modify_srq(3): an event once fewer than so many receive requests are left; 0 for none.
    func ibv_modify_srq(_ srq: UnsafeMutablePointer<ibv_srq>, limit: UInt32) throws(Errno)
    /// ibv_get_async_event(3) and ibv_ack_async_event(3): an event that came within so many milliseconds.
    func ibv_get_async_event(_ context: UnsafeMutablePointer<ibv_context>, _ milliseconds: Int32) throws(Errno)
        -> AsyncEvent?
    /// ibv_alloc_dm(3): memory of the NIC's own. EOPNOTSUPP where it has none.
    func ibv_alloc_dm(_ context: UnsafeMutablePointer<ibv_context>, _ length: UInt64) throws(Errno)
        -> UnsafeMutablePointer<ibv_dm>
    /// ibv_free_dm(3). EBUSY while a memory region uses it.
    func ibv_free_dm(_ dm: UnsafeMutablePointer<ibv_dm>) throws(Errno)
    /// ibv_memcpy_to_dm(3).
    func ibv_memcpy_to_dm(_ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer)
        throws(Errno)
    /// ibv_memcpy_from_dm(3).
    func ibv_memcpy_from_dm(
        _ bytes: UnsafeMutableRawBufferPointer, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64
    ) throws(Errno)
    /// ibv_reg_dm_mr(3). `access` needs IBV_ACCESS_ZERO_BASED: work requests count from the region's start.
    func ibv_reg_dm_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ length: UInt64,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// The device's pools of memory keys as RDMA netlink gives them (RDMA_NLDEV_CMD_FRMR_POOLS_GET with driver details,
    /// Linux 7.3 and later), for `FRMRPool.decode`. EOPNOTSUPP where the kernel has no such dump, ENODATA where the device
    /// has no pools.
    func frmrPools(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [UInt8]
    /// ibv_post_srq_recv(3), of one work request or a chain.
    func ibv_post_srq_recv(_ srq: UnsafeMutablePointer<ibv_srq>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    /// ibv_modify_qp(3). `mask` is IBV_QP_*.
    func ibv_modify_qp(_ qp: UnsafeMutablePointer<ibv_qp>, _ attributes: ibv_qp_attr, _ mask: Int32) throws(Errno)
    /// ibv_post_send(3), of one work request or a chain.
    func ibv_post_send(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_send_wr>) throws(Errno)
    /// ibv_post_recv(3), of one work request or a chain.
    func ibv_post_recv(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_recv_wr>) throws(Errno)
    /// ibv_poll_cq(3): how many completions were there, at most as many as fit.
    func ibv_poll_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ completions: UnsafeMutableBufferPointer<ibv_wc>)
        throws(Errno) -> Int
    /// The mlx5 memory key context of a region (mlx5_ifc.h, struct mlx5_ifc_mkc_bits, 64 bytes), as the driver's raw
    /// resource dump gives it; EOPNOTSUPP where nothing gives it.
    func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8]
}

/// What happened to a device or one of its objects: struct ibv_async_event.
public struct AsyncEvent: Sendable, Equatable {
    /// enum ibv_event_type
    public let type: UInt32
    /// Whom it happened to: a queue pair's number, a port's number, or the address of the library's object.
    public let element: UInt64

    /// An event.
    public init(type: UInt32, element: UInt64) {
        self.type = type
        self.element = element
    }

    private static let names = [
        "CQ_ERR", "QP_FATAL", "QP_REQ_ERR", "QP_ACCESS_ERR", "COMM_EST", "SQ_DRAINED", "PATH_MIG", "PATH_MIG_ERR",
        "DEVICE_FATAL", "PORT_ACTIVE", "PORT_ERR", "LID_CHANGE", "PKEY_CHANGE", "SM_CHANGE", "SRQ_ERR",
        "SRQ_LIMIT_REACHED", "QP_LAST_WQE_REACHED", "CLIENT_REREGISTER", "GID_CHANGE", "WQ_FATAL",
    ]
    /// The C name without IBV_EVENT_: "SRQ_LIMIT_REACHED".
    public var name: String {
        AsyncEvent.names.indices.contains(Int(type)) ? AsyncEvent.names[Int(type)] : "event \(type)"
    }
    /// The names of ``type``.
    public static let types = Format.names(names.enumerated().map { .init($0.offset, $0.element) })
    /// Whether `element` is a queue pair's number.
    public var isOfQueuePair: Bool { (1...7).contains(type) || type == 16 }
    /// Whether `element` is a port's number.
    public var isOfPort: Bool { (9...13).contains(type) || type == 17 || type == 18 }
}

/// A kernel: both halves of the seam.
public protocol Kernel: SystemCalls, VerbsCalls {
    /// What this kernel was asked that it does not model, and how often; empty for a real one.
    var notModelled: [(call: String, count: Int)] { get }
    /// Descriptors, mappings and verbs objects that are still open, one description each.
    var open: [String] { get }
    /// Whether a number names what this process has open for itself, and did not come through this kernel: no script may use
    /// it. False for one that names nothing.
    func isForeign(_ descriptor: Int32) -> Bool
    /// What the bench's functions sent over their links; nil where nothing sees that, as on a real machine without an
    /// analyzer. Errors: what keeps the one who sees it from being asked.
    var tlps: TLPLog? { get throws(Failure) }
    /// Empties ``tlps``, and needs not know what is in there; false where nothing sees the links.
    func clearTLPs() throws(Failure) -> Bool
    /// What a simulated kernel does when its caller waits (``SystemCalls/sleep(nanoseconds:stop:)``, an empty completion queue):
    /// another thread may use it meanwhile, but no two at a time. A real kernel needs no such thing.
    func whenIdle(_ action: (() -> Void)?)
    /// Hears of each access to mapped memory by this program: no call, but a device may answer it.
    func accessed(_ access: MemoryAccess)
    /// What refused the latest system call that was refused, with the check it came from (``Errno/origin``); nil of a real
    /// kernel, which does not tell.
    var refusal: Errno? { get }
}

/// Bytes that this program read from, or wrote to, memory that it has mapped.
public struct MemoryAccess {
    /// Which way they went.
    public enum Kind: Sendable { case load, store }

    /// Which way they went.
    public let kind: Kind
    /// Of the first byte.
    public let address: UInt64
    /// What was read or written; valid during the call.
    public let bytes: UnsafeRawBufferPointer
    /// EIO where the device behind the memory did not answer.
    public let errno: Errno?

    /// An access that is over.
    public init(_ kind: Kind, at address: UInt64, _ bytes: UnsafeRawBufferPointer, _ errno: Errno?) {
        self.kind = kind
        self.address = address
        self.bytes = bytes
        self.errno = errno
    }
}

extension Kernel {
    /// See ``Kernel/tlps``: nothing sees the links.
    public var tlps: TLPLog? { nil }
    /// Nothing to empty.
    public func clearTLPs() -> Bool { false }
    /// A real kernel runs by itself.
    public func whenIdle(_ action: (() -> Void)?) {}
    /// Nobody asked.
    public func accessed(_ access: MemoryAccess) {}
    /// A real kernel tells no more than the number.
    public var refusal: Errno? { nil }
}
