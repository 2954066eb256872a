/// A field of one of the device's structures, 1 to 64 bits. Bits count from the top bit of byte 0, as in
/// include/linux/mlx5/mlx5_ifc.h; all numbers are big-endian. `scripts/check-mlx5` compares each with that header.
public struct Field: Sendable {
    /// Structure and member there, without mlx5_ifc_ and _bits: "mkc.free", "create_qp_in.qpc.pd".
    public let name: StaticString
    /// Where it begins.
    public let bit: Int
    /// How many bits it has.
    public let width: Int

    /// A field of `width` bits from `bit`, within eight bytes from the one in which it begins.
    @inlinable
    public init(_ name: StaticString, bit: Int, width: Int) {
        precondition(width > 0 && bit >= 0 && bit % 8 + width <= 64)
        self.name = name
        self.bit = bit
        self.width = width
    }

    /// The field of a structure that lies in another one from byte `offset`.
    @inlinable
    public func at(_ offset: Int) -> Field { Field(name, bit: bit + offset * 8, width: width) }
}

/// Bytes of one of the device's structures: a structure within it, an array, or what follows it.
public struct Area: Sendable {
    /// Structure and member, as of a `Field`.
    public let name: StaticString
    /// Its first byte.
    public let offset: Int
    /// Bytes; 0 of an array behind the structure, whose end the length says.
    public let count: Int

    /// `count` bytes from byte `offset`.
    public init(_ name: StaticString, at offset: Int, count: Int) {
        self.name = name
        self.offset = offset
        self.count = count
    }
}

extension UnsafeRawBufferPointer {
    /// A field's value; bits behind the end are 0.
    @inlinable
    public subscript(field: Field) -> UInt64 {
        let first = field.bit >> 3
        var window: UInt64 = 0
        if first + 8 <= count {
            window = UInt64(bigEndian: loadUnaligned(fromByteOffset: first, as: UInt64.self))
        } else {
            for byte in first..<first + 8 { window = window << 8 | UInt64(byte < count ? self[byte] : 0) }
        }
        return (window << UInt64(field.bit & 7)) >> UInt64(64 - field.width)
    }

    /// A field of one bit.
    @inlinable
    public subscript(flag field: Field) -> Bool { self[field] != 0 }

    /// A field of at most 32 bits.
    @inlinable
    public subscript(word field: Field) -> UInt32 { UInt32(truncatingIfNeeded: self[field]) }

    /// A field of at most 63 bits.
    @inlinable
    public subscript(int field: Field) -> Int { Int(truncatingIfNeeded: self[field]) }

    /// Bytes of a structure, as far as they are there.
    @inlinable
    public subscript(area: Area) -> UnsafeRawBufferPointer {
        let first = Swift.min(area.offset, count)
        let end = area.count == 0 ? count : Swift.min(area.offset + area.count, count)
        return UnsafeRawBufferPointer(rebasing: self[first..<end])
    }
}

extension UnsafeMutableRawBufferPointer {
    /// A field's value. Bits behind the end are 0 and cannot be set; of a value that is too large the lowest bits count.
    @inlinable
    public subscript(field: Field) -> UInt64 {
        get { UnsafeRawBufferPointer(self)[field] }
        nonmutating set {
            let first = field.bit >> 3
            let below = UInt64(64 - (field.bit & 7) - field.width)
            let mask = (UInt64.max >> UInt64(64 - field.width)) << below
            let bits = (newValue << below) & mask
            if first + 8 <= count {
                let old = UInt64(bigEndian: loadUnaligned(fromByteOffset: first, as: UInt64.self))
                storeBytes(of: (old & ~mask | bits).bigEndian, toByteOffset: first, as: UInt64.self)
                return
            }
            for byte in first..<Swift.max(first, count) {
                let shift = UInt64(56 - (byte - first) * 8)
                self[byte] =
                    self[byte] & ~UInt8(truncatingIfNeeded: mask >> shift) | UInt8(truncatingIfNeeded: bits >> shift)
            }
        }
    }

    /// A field of one bit.
    @inlinable
    public subscript(flag field: Field) -> Bool {
        get { self[field] != 0 }
        nonmutating set { self[field] = newValue ? 1 : 0 }
    }

    /// A field of at most 32 bits.
    @inlinable
    public subscript(word field: Field) -> UInt32 { UnsafeRawBufferPointer(self)[word: field] }

    /// A field of at most 63 bits.
    @inlinable
    public subscript(int field: Field) -> Int { UnsafeRawBufferPointer(self)[int: field] }

    /// Bytes of a structure, as far as they are there.
    @inlinable
    public subscript(area: Area) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(mutating: UnsafeRawBufferPointer(self)[area])
    }
}

extension [UInt8] {
    /// A field of the structure that the bytes are, as of a buffer.
    public subscript(field: Field) -> UInt64 {
        get { withUnsafeBytes { $0[field] } }
        set { withUnsafeMutableBytes { $0[field] = newValue } }
    }

    /// A field of one bit.
    public subscript(flag field: Field) -> Bool {
        get { self[field] != 0 }
        set { self[field] = newValue ? 1 : 0 }
    }

    /// A field of at most 63 bits.
    public subscript(int field: Field) -> Int { Int(truncatingIfNeeded: self[field]) }
}
