/// The 64-bit FNV-1a hash: the same on every machine. It recognises data; it does not protect it from somebody who
/// composes other data with the same hash.
public struct FNV1a: Sendable {
    /// The hash of the bytes so far.
    public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    /// Of no bytes.
    public init() {}

    /// Of these bytes.
    public init(_ bytes: some Sequence<UInt8>) { add(bytes) }

    /// Adds bytes after those before.
    public mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}
