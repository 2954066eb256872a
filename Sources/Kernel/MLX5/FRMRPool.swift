/// A pool of memory keys that a driver reuses (Linux 7.3 and later). Regions whose keys differ in properties that
/// cannot be changed later, such as the hint, use different pools. Source: drivers/infiniband/core/frmr_pools.c,
/// nldev.c:fill_frmr_pool_entry, include/uapi/rdma/rdma_netlink.h.
public struct FRMRPool: Sendable, Equatable {
    /// Whether its keys translate by ATS.
    public var ats = false
    /// IBV_ACCESS_* flags that cannot be changed later.
    public var access: UInt32 = 0
    /// The part of a pool's key that users may set.
    public var vendorKey: UInt64 = 0
    /// Least number of blocks of DMA addresses that a key holds.
    public var blocks: UInt64 = 0
    /// The part of a pool's key that the driver sets; in mlx5 it contains the TPH hint, see ``hint``.
    public var kernelVendorKey: UInt64 = 0
    /// Keys that are unused now.
    public var handles: UInt32 = 0
    /// Most keys that were in use at the same time.
    public var maxInUse: UInt64 = 0
    /// Keys that are in use now.
    public var inUse: UInt64 = 0
    /// Unused keys that are always kept.
    public var pinned: UInt32 = 0

    /// Empty.
    public init() {}

    /// The hint of all keys of an mlx5 pool; nil for none. Source: hw/mlx5/mr.c: bits 0 to 15 are the steering tag's
    /// index, 16 to 23 the processing hint with 0 and 0xff swapped, so that 0 means no hint.
    public var hint: (ph: UInt8, index: UInt16)? {
        guard kernelVendorKey != 0 else { return nil }
        let stored = UInt8(truncatingIfNeeded: kernelVendorKey >> 16)
        guard stored != 0 else { return nil }
        return (stored == 0xff ? 0 : stored, UInt16(truncatingIfNeeded: kernelVendorKey))
    }

    /// Attribute types: enum rdma_nldev_attr.
    private enum Attribute {
        static let entry = 106, key = 107, ats = 108, access = 109, vendorKey = 110, blocks = 111, handles = 112
        static let maxInUse = 113, inUse = 114, pinned = 116, kernelVendorKey = 117
    }

    /// Decodes the entries of RDMA_NLDEV_ATTR_FRMR_POOLS. They are netlink attributes: length and type (2 bytes each,
    /// in this machine's byte order), then the value, padded to 4 bytes. nil where they are cut.
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

    /// False where an attribute is cut, or `body` returns false.
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

    /// Encodes pools as the kernel does: see ``decode(_:)``.
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
