/// A field of one of the device's structures. Bits count from the top bit of byte 0, as in include/linux/mlx5/mlx5_ifc.h.
public struct Field: Sendable {
    /// Its name there.
    public let name: StaticString
    /// Where it begins.
    public let bit: Int
    /// How many bits it has, 1 to 64.
    public let width: Int

    /// A field of `width` bits from `bit`.
    public init(_ name: StaticString, bit: Int, width: Int) {
        self.name = name
        self.bit = bit
        self.width = width
    }
}

extension UnsafeRawBufferPointer {
    /// A field's value; bits behind the end are 0.
    public subscript(field: Field) -> UInt64 {
        var value: UInt64 = 0
        for byte in field.bit / 8...(field.bit + field.width - 1) / 8 {
            value = value << 8 | UInt64(byte < count ? self[byte] : 0)
            if byte == field.bit / 8 { value &= 0xff >> UInt64(field.bit % 8) }
        }
        let below = (8 - (field.bit + field.width) % 8) % 8
        return value >> UInt64(below)
    }
}
