import Kernel
import Testing

/// Dumps of our own making, byte by byte: no ConnectX has shown us one.
@Suite struct FRMRPoolTests {
    /// A netlink attribute: length and type, least significant byte first, content, padding.
    static func attribute(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        let length = 4 + content.count
        let padding = [UInt8](repeating: 0, count: (4 - length % 4) % 4)
        return [UInt8(length & 0xff), UInt8(length >> 8), type, 0] + content + padding
    }

    static func number(_ value: UInt8, _ count: Int) -> [UInt8] { [value] + [UInt8](repeating: 0, count: count - 1) }

    /// A pool of keys with that hint in the key (bytes 0 and 1 its index, 2 its processing hint).
    static func entry(kernelKey: [UInt8]?) -> [UInt8] {
        var key = attribute(108, [1]) + attribute(109, number(0, 4)) + attribute(110, number(1, 8))
        // Attributes of 8 bytes may have an empty one (PAD) before them.
        key += attribute(0, []) + attribute(111, number(16, 8))
        if let kernelKey { key += attribute(117, kernelKey + [UInt8](repeating: 0, count: 5)) }
        // NLA_F_NESTED is the type's most significant bit.
        var nested = attribute(107, key)
        nested[3] |= 0x80
        return attribute(
            106,
            nested + attribute(112, number(3, 4)) + attribute(113, number(9, 8)) + attribute(114, number(2, 8))
                + attribute(116, number(4, 4)))
    }

    @Test func aPoolIsReadByteByByte() throws {
        let pools = try #require(
            FRMRPool.decode(Self.entry(kernelKey: [0x42, 0x00, 0x02]) + Self.entry(kernelKey: nil)))
        #expect(pools.count == 2)
        let pool = pools[0]
        #expect(pool.ats && pool.access == 0 && pool.vendorKey == 1 && pool.blocks == 16)
        #expect(pool.handles == 3 && pool.maxInUse == 9 && pool.inUse == 2 && pool.pinned == 4)
        #expect(pool.hint?.ph == 2 && pool.hint?.index == 0x42)
        #expect(pools[1].hint == nil && pools[1].kernelVendorKey == 0)
    }

    @Test func noHintAndTheHintZeroAreTold() throws {
        // hw/mlx5/mr.c: 0 and 0xff are swapped.
        let pools = try #require(FRMRPool.decode(Self.entry(kernelKey: [0x07, 0x01, 0xff])))
        #expect(pools[0].hint?.ph == 0 && pools[0].hint?.index == 0x107)
    }

    @Test func whatIsCutIsRefused() {
        let whole = Self.entry(kernelKey: [0x42, 0, 2])
        for count in 1..<whole.count { #expect(FRMRPool.decode(Array(whole.prefix(count))) == nil, "\(count) bytes") }
        #expect(FRMRPool.decode([]) == [])
        #expect(FRMRPool.decode([0, 0, 106, 0]) == nil)
    }

    @Test func encodingIsTheOtherWay() {
        let pools = FRMRPool.decode(Self.entry(kernelKey: [0x42, 0, 2]) + Self.entry(kernelKey: nil)) ?? []
        #expect(FRMRPool.decode(FRMRPool.encode(pools)) == pools)
    }
}
