/// A pool of memory keys that a driver uses again (Linux 7.3 and later). Regions whose keys differ in what cannot be
/// changed later, the hint among it, take theirs from different pools. Source: drivers/infiniband/core/frmr_pools.c,
/// nldev.c:fill_frmr_pool_entry, include/uapi/rdma/rdma_netlink.h.
public struct FRMRPool: Sendable, Equatable {
    /// Whether its keys translate by ATS.
    public var ats = false
    /// IBV_ACCESS_* that cannot be changed later.
    public var access: UInt32 = 0
    /// The part of a pool's key that users may set.
    public var vendorKey: UInt64 = 0
    /// How many blocks of DMA addresses a key holds, at least.
    public var blocks: UInt64 = 0
    /// The part of a pool's key that the driver keeps to itself; mlx5 has the TPH hint there, see ``hint``.
    public var kernelVendorKey: UInt64 = 0
    /// Keys that wait for a region.
    public var handles: UInt32 = 0
    /// The most regions that ever had one at a time.
    public var maxInUse: UInt64 = 0
    /// Regions that have one now.
    public var inUse: UInt64 = 0
    /// Keys that are kept waiting in any case.
    public var pinned: UInt32 = 0

    /// An empty one.
    public init() {}

    /// The hint that all of an mlx5 pool's keys have; nil where they have none. Source: hw/mlx5/mr.c: bits 0 to 15 are the
    /// steering tag's index, 16 to 23 the processing hint with 0 and 0xff swapped, so that no hint at all is 0.
    public var hint: (ph: UInt8, index: UInt16)? {
        guard kernelVendorKey != 0 else { return nil }
        let stored = UInt8(truncatingIfNeeded: kernelVendorKey >> 16)
        guard stored != 0 else { return nil }
        return (stored == 0xff ? 0 : stored, UInt16(truncatingIfNeeded: kernelVendorKey))
    }

    /// Types of attributes: enum rdma_nldev_attr.
    private enum Attribute {
        static let entry = 106, key = 107, ats = 108, access = 109, vendorKey = 110, blocks = 111, handles = 112
        static let maxInUse = 113, inUse = 114, pinned = 116, kernelVendorKey = 117
    }

    /// The pools in the entries of RDMA_NLDEV_ATTR_FRMR_POOLS, which are netlink attributes: length and type (2 bytes each,
    /// this machine's order), then what they hold, padded to 4 bytes. nil where they are cut.
    public static func decode(_ bytes: [UInt8]) -> [FRMRPool]? {
        var pools: [FRMRPool] = []
        let isWhole = each(bytes[...]) { type, content in
            guard type == Attribute.entry else { return true }
            var pool = FRMRPool()
            guard each(content, { pool.take($0, $1) }) else { return false }
            pools.append(pool)
            return true
        }
        return isWhole ? pools : nil
    }

    /// False where an attribute is cut, or `body` says so.
    private static func each(_ bytes: ArraySlice<UInt8>, _ body: (Int, ArraySlice<UInt8>) -> Bool) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let length = Int(number(rest.prefix(2))), type = Int(number(rest.dropFirst(2).prefix(2)) & 0x3fff)
            guard length >= 4, length <= rest.count, body(type, rest.dropFirst(4).prefix(length - 4)) else {
                return false
            }
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return true
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func take(_ type: Int, _ content: ArraySlice<UInt8>) -> Bool {
        let value = FRMRPool.number(content)
        switch type {
        case Attribute.key: return FRMRPool.each(content) { take($0, $1) }
        case Attribute.ats: ats = value != 0
        case Attribute.access: access = UInt32(truncatingIfNeeded: value)
        case Attribute.vendorKey: vendorKey = value
        case Attribute.blocks: blocks = value
        case Attribute.handles: handles = UInt32(truncatingIfNeeded: value)
        case Attribute.maxInUse: maxInUse = value
        case Attribute.inUse: inUse = value
        case Attribute.pinned: pinned = UInt32(truncatingIfNeeded: value)
        case Attribute.kernelVendorKey: kernelVendorKey = value
        default: break
        }
        return true
    }

    /// The pools as the kernel would give them: see ``decode(_:)``.
    public static func encode(_ pools: [FRMRPool]) -> [UInt8] {
        pools.flatMap { pool in
            var key =
                attribute(Attribute.ats, [pool.ats ? 1 : 0]) + attribute(Attribute.access, bytes(pool.access))
                + attribute(Attribute.vendorKey, bytes(pool.vendorKey))
                + attribute(Attribute.blocks, bytes(pool.blocks))
            if pool.kernelVendorKey != 0 { key += attribute(Attribute.kernelVendorKey, bytes(pool.kernelVendorKey)) }
            return attribute(
                Attribute.entry,
                attribute(Attribute.key, key) + attribute(Attribute.handles, bytes(pool.handles))
                    + attribute(Attribute.maxInUse, bytes(pool.maxInUse))
                    + attribute(Attribute.inUse, bytes(pool.inUse)) + attribute(Attribute.pinned, bytes(pool.pinned)))
        }
    }

    private static func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func attribute(_ type: Int, _ content: [UInt8]) -> [UInt8] {
        let length = 4 + content.count
        let padding = [UInt8](repeating: 0, count: (4 - length % 4) % 4)
        return bytes(UInt16(length)) + bytes(UInt16(type)) + content + padding
    }
}
