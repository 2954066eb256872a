import CKernel

/// Flags of a C enumeration with their names. Traces, records and scripts all take the names from this list.
public protocol NamedBits: OptionSet, Sendable where RawValue: FixedWidthInteger {
    /// Each bit with its C name, without the common prefix.
    static var names: [(name: String, bit: Self)] { get }
}

extension NamedBits {
    /// The format for traces.
    static var format: Format { .flags(names.map { .init(Int($0.bit.rawValue), $0.name) }) }
}

/// IBV_ACCESS_* (enum ibv_access_flags): permitted accesses to a region, or by a peer through a queue pair.
public struct Access: NamedBits, Hashable {
    /// The value for C functions.
    public let rawValue: Int32

    /// See `OptionSet`.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    private init(_ bit: ibv_access_flags) { rawValue = Int32(truncatingIfNeeded: bit.rawValue) }

    /// IBV_ACCESS_LOCAL_WRITE: the NIC may write data here that it receives, or reads from a peer.
    public static let localWrite = Access(IBV_ACCESS_LOCAL_WRITE)
    /// IBV_ACCESS_REMOTE_WRITE
    public static let remoteWrite = Access(IBV_ACCESS_REMOTE_WRITE)
    /// IBV_ACCESS_REMOTE_READ
    public static let remoteRead = Access(IBV_ACCESS_REMOTE_READ)
    /// IBV_ACCESS_REMOTE_ATOMIC
    public static let remoteAtomic = Access(IBV_ACCESS_REMOTE_ATOMIC)
    /// IBV_ACCESS_MW_BIND: memory windows may be bound to it.
    public static let windowBind = Access(IBV_ACCESS_MW_BIND)
    /// IBV_ACCESS_ZERO_BASED: addresses in work requests are offsets from its start.
    public static let zeroBased = Access(IBV_ACCESS_ZERO_BASED)
    /// IBV_ACCESS_ON_DEMAND: memory is not pinned; the NIC handles page faults.
    public static let onDemand = Access(IBV_ACCESS_ON_DEMAND)
    /// IBV_ACCESS_HUGETLB
    public static let hugeTLB = Access(IBV_ACCESS_HUGETLB)
    /// IBV_ACCESS_RELAXED_ORDERING
    public static let relaxedOrdering = Access(IBV_ACCESS_RELAXED_ORDERING)

    /// Bits that let a peer write the memory, and so require ``localWrite``.
    public static let remoteChanges: Access = [.remoteWrite, .remoteAtomic]
    /// Accesses that a queue pair can permit a peer.
    public static let ofPeers: Access = [.remoteWrite, .remoteRead, .remoteAtomic]
    /// Accesses valid for a region of a dma-buf
    /// (drivers/infiniband/core/uverbs_std_types_mr.c:UVERBS_METHOD_REG_DMABUF_MR).
    public static let ofBuffers: Access = [.localWrite, .remoteWrite, .remoteRead, .remoteAtomic, .relaxedOrdering]

    /// Each bit with its C name without IBV_ACCESS_.
    public static let names: [(name: String, bit: Access)] = [
        ("LOCAL_WRITE", .localWrite), ("REMOTE_WRITE", .remoteWrite), ("REMOTE_READ", .remoteRead),
        ("REMOTE_ATOMIC", .remoteAtomic), ("MW_BIND", .windowBind), ("ZERO_BASED", .zeroBased),
        ("ON_DEMAND", .onDemand), ("HUGETLB", .hugeTLB), ("RELAXED_ORDERING", .relaxedOrdering),
    ]

    /// The names of the set bits, as scripts write them: "local_write".
    public var scriptNames: [String] { Access.names.filter { contains($0.bit) }.map { $0.name.lowercased() } }
}

/// IBV_QP_* (enum ibv_qp_attr_mask): which members of struct ibv_qp_attr are valid.
public enum AttributeMask {
    /// All of them, each with its C name without IBV_QP_.
    private static let names: [(String, ibv_qp_attr_mask)] = [
        ("STATE", IBV_QP_STATE), ("CUR_STATE", IBV_QP_CUR_STATE),
        ("EN_SQD_ASYNC_NOTIFY", IBV_QP_EN_SQD_ASYNC_NOTIFY), ("ACCESS_FLAGS", IBV_QP_ACCESS_FLAGS),
        ("PKEY_INDEX", IBV_QP_PKEY_INDEX), ("PORT", IBV_QP_PORT), ("QKEY", IBV_QP_QKEY), ("AV", IBV_QP_AV),
        ("PATH_MTU", IBV_QP_PATH_MTU), ("TIMEOUT", IBV_QP_TIMEOUT), ("RETRY_CNT", IBV_QP_RETRY_CNT),
        ("RNR_RETRY", IBV_QP_RNR_RETRY), ("RQ_PSN", IBV_QP_RQ_PSN), ("MAX_QP_RD_ATOMIC", IBV_QP_MAX_QP_RD_ATOMIC),
        ("ALT_PATH", IBV_QP_ALT_PATH), ("MIN_RNR_TIMER", IBV_QP_MIN_RNR_TIMER), ("SQ_PSN", IBV_QP_SQ_PSN),
        ("MAX_DEST_RD_ATOMIC", IBV_QP_MAX_DEST_RD_ATOMIC), ("PATH_MIG_STATE", IBV_QP_PATH_MIG_STATE),
        ("CAP", IBV_QP_CAP), ("DEST_QPN", IBV_QP_DEST_QPN),
    ]

    /// The format of a mask in traces.
    public static let format = Format.flags(names.map { .init(Int($0.1.rawValue), $0.0) })

    /// States of a queue pair without IBV_QPS_.
    static let states = Format.names(
        [
            ("RESET", IBV_QPS_RESET), ("INIT", IBV_QPS_INIT), ("RTR", IBV_QPS_RTR), ("RTS", IBV_QPS_RTS),
            ("SQD", IBV_QPS_SQD), ("SQE", IBV_QPS_SQE), ("ERR", IBV_QPS_ERR),
        ].map { .init(Int($0.1.rawValue), $0.0) })
}
