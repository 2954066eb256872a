public import Kernel

extension Topology {
    /// An RDMA device.
    public struct NIC: Sendable {
        /// The driver, which decides what can be registered.
        public enum Driver: String, Sendable, CaseIterable {
            /// ConnectX: dma-buf regions that it maps anew after a revocation, TPH.
            case mlx5
            /// Intel: dma-buf regions that a revocation ends for good.
            case irdma
            /// Broadcom: pins dma-bufs.
            case bnxtRE = "bnxt_re"
            /// Amazon: pins dma-bufs.
            case efa
            /// AMD Pensando: pins dma-bufs.
            case ionic
            /// Microsoft: pins dma-bufs.
            case mana
            /// Software: host memory only.
            case rxe
        }
        /// "mlx5_0"
        public var name: String
        /// The driver.
        public var driver: Driver
        /// Its PCI function; nil for a software device.
        public var address: String?
        /// Whether it handles page faults (on-demand paging).
        public var odp: Bool
        /// The requester type it can enable, and so which namespace of steering tags it asks for. Its root port may
        /// allow less.
        public var requester: TPHSupport
        /// Entries of its steering tag table, 2 to 64, the first of which is reserved; 0 for direct mode, where the
        /// index is the tag.
        public var steeringTable = 0
        /// Whether it has a data direct function.
        public var dataDirect = true
        /// Whether its driver gives raw dumps of its objects; without them only the pools of memory keys show hints.
        public var rawDumps = true
        /// Bytes of memory of its own (ConnectX: MEMIC).
        public var ownMemory: UInt64 = 131_072
        /// Where its port is in an InfiniBand subnet; nil for a port of an Ethernet.
        public var subnet: Subnet?
        /// What its firmware calls itself.
        public var firmware = "28.43.1014"
        /// The most of each kind of object, as ibv_query_device reports it.
        public var limits = Limits()

        /// What an InfiniBand port is called.
        public struct Subnet: Sendable {
            /// The LID that the subnet's manager gave it, 1 to 0xbfff.
            public var lid: UInt16
            /// The lower half of its GID, the upper being that of link-local addresses.
            public var guid: UInt64

            /// A port's names.
            public init(lid: UInt16, guid: UInt64) {
                self.lid = lid
                self.guid = guid
            }
        }

        /// Numbers of objects.
        public struct Limits: Sendable {
            /// Memory regions.
            public var regions: Int32 = 1 << 24
            /// Protection domains.
            public var domains: Int32 = 1 << 23
            /// Queue pairs.
            public var queuePairs: Int32 = 1 << 17
            /// Completion queues.
            public var completionQueues: Int32 = 1 << 24
            /// Shared receive queues.
            public var sharedQueues: Int32 = 1 << 23

            /// A ConnectX-7's.
            public init() {}

            /// drivers/infiniband/sw/rxe/rxe_param.h
            static var rxe: Limits {
                var limits = Limits()
                limits.regions = 1 << 19 - 1
                limits.domains = 1 << 20
                limits.queuePairs = 1 << 20 - 16
                limits.completionQueues = 1 << 20
                limits.sharedQueues = 1 << 20 - 0x20001
                return limits
            }
        }

        /// An RDMA device.
        public init(
            name: String, driver: Driver = .mlx5, address: String? = nil, odp: Bool = true,
            requester: TPHSupport = .tph
        ) {
            self.name = name
            self.driver = driver
            self.address = address
            self.odp = odp
            self.requester = requester
            guard driver == .rxe else { return }
            firmware = "0.0.0"
            limits = .rxe
        }
    }
}

extension Topology.NIC {
    /// IBK_ON_DEMAND_PAGING
    var handlesPageFaults: Bool { odp && (driver == .mlx5 || driver == .rxe) }
}

/// What each importer brings to an attachment: its dma_buf_attach_ops, or none where it pins.
extension Topology.NIC.Driver {
    /// Whether it has ib_device_ops.reg_user_mr_dmabuf.
    var registersBuffers: Bool { self != .rxe }

    /// Whether it attaches with dma_buf_attach_ops.invalidate_mappings. The others pin for good.
    var canInvalidate: Bool { self == .mlx5 || self == .irdma }

    /// Whether a region is lost with the first invalidation.
    /// hw/irdma/verbs.c:irdma_umem_dmabuf_revoke: the key is deregistered.
    var diesWhenInvalidated: Bool { self == .irdma }

    /// Whether IB_ACCESS_RELAXED_ORDERING gets into its memory keys: hw/mlx5/mr.c:set_mkc_access_pd_addr_fields,
    /// hw/bnxt_re/ib_verbs.c:bnxt_re_check_and_set_relaxed_ordering. It is optional, and the others let it be.
    var asksForRelaxedOrdering: Bool { self == .mlx5 || self == .bnxtRE }

    /// hw/irdma/main.h:IRDMA_MAX_MR_SIZE
    static let irdmaLongest: UInt64 = 1 << 45
}
