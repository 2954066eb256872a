public import CKernel
public import Kernel

/// A registered memory region.
public struct MemoryRegion: ~Copyable {
    let kernel: any Kernel
    /// The library's object, for work requests that bind a window to it.
    public let mr: UnsafeMutablePointer<ibv_mr>
    private let siblings: OpenChildCount
    /// What work requests call its first byte.
    public let start: UInt64
    private let key: UInt32
    private let domain: String
    /// The hint that the dma-buf had when it was registered, where this program set it and no DMA handle comes before it.
    public var asked: TPHHint?
    /// False once it is deregistered.
    public private(set) var isOpen = true

    init(
        _ kernel: any Kernel, _ mr: UnsafeMutablePointer<ibv_mr>, start: UInt64, in siblings: OpenChildCount,
        label: String
    ) {
        self.kernel = kernel
        self.mr = mr
        self.start = start
        self.siblings = siblings
        domain = label
        key = mr.pointee.lkey
        siblings.count += 1
    }

    /// How messages call it; not made before one does, which takes longer than registering.
    public var label: String { "mr 0x\(String(key, radix: 16)) of \(domain)" }

    /// The local key.
    public var lkey: UInt32 { key }
    /// The remote key.
    public var rkey: UInt32 { mr.pointee.rkey }
    /// Bytes.
    public var length: Int { mr.pointee.length }

    /// What tells of a region's hint.
    public enum HintSource: Sendable {
        /// The memory key itself, from the driver's raw dump.
        case memoryKey
        /// The pools that memory keys are taken from: all that the region's can be of have this hint.
        case keyPools
    }

    /// The processing hint in the NIC's memory key: what it will put on the wire. nil with a reason where nothing tells.
    public func tph() -> (hint: MkeyTPH?, source: HintSource, reason: String) {
        do throws(Errno) {
            let context = try kernel.call(Verbs.mkeyContext, mr)
            guard let hint = MkeyTPH(context) else { return (nil, .memoryKey, "the memory key context is too short") }
            return (hint, .memoryKey, "")
        } catch {
            let pools = poolHint()
            if let hint = pools.hint { return (hint, .keyPools, "") }
            let refused = Failure(Verbs.mkeyContext.signature.name, error, object: domain)
            let why = refused.hint ?? "RDMA netlink refuses"
            return (
                nil, .memoryKey,
                "nothing here reads the NIC's memory key (\(error.name): \(why)\(pools.reason)), so the hint is unverified"
            )
        }
    }

    /// The hint of the pools that the region's key can be of, where all of them agree. A pool's keys may hold more blocks
    /// than the region has, and how large a block is, the driver alone knows: only what is too large for single pages of 4
    /// KiB is left out.
    private func poolHint() -> (hint: MkeyTPH?, reason: String) {
        guard let context = mr.pointee.context, let bytes = try? kernel.call(Verbs.frmrPools, context),
            let pools = FRMRPool.decode(bytes)
        else { return (nil, "") }
        let pages = ((start & 4095) + UInt64(length) + 4095) >> 12
        var most: UInt64 = 1
        while most < pages { most <<= 1 }
        let candidates = pools.filter { $0.inUse > 0 && $0.blocks <= most }
        guard let first = candidates.first else { return (nil, "; no pool of memory keys is in use that it fits") }
        guard candidates.allSatisfy({ $0.kernelVendorKey == first.kernelVendorKey }) else {
            return (nil, "; pools of keys with different hints are in use that it fits")
        }
        return (MkeyTPH(enabled: first.hint != nil, ph: first.hint?.ph ?? 0, index: first.hint?.index ?? 0), "")
    }

    /// ibv_dereg_mr(3). A region that could not be deregistered stays open.
    public mutating func close() throws(Failure) {
        let (kernel, mr, key, domain) = (kernel, mr, key, domain)
        try siblings.end(&isOpen, "ibv_dereg_mr", "mr 0x\(String(key, radix: 16)) of \(domain)") { () throws(Errno) in
            try kernel.call(Verbs.ibv_dereg_mr, mr)
        }
    }
}
