public import Kernel

/// A request of a served function, as the function's process knows it: with bus addresses, without the names that the
/// guest gives its functions. ``GuestCapture`` adds those.
///
/// It has 48 bytes, all numbers little-endian: time (8 bytes), address (8), the bus address of the requester's BAR 0
/// (8), the offset in the target's BAR (8), length (4), the target's device and vendor (2 each), steering tag (2),
/// flags (1), processing hint (1), the target's BAR (1), the links' mode (1), zero (2). Flags: bit 0 write, 1 hint, 2
/// 16-bit tag, 3 relaxed ordering, 4 target. A field that a request lacks is 0.
public struct CapturedTLP: Equatable, Sendable {
    /// Memory of another function.
    public struct Target: Equatable, Sendable {
        /// Vendor in 31:16, device in 15:0.
        public var identity: UInt32
        /// The BAR, 0 to 5.
        public var region: UInt8
        /// Bytes from its start.
        public var offset: UInt64

        /// From its parts.
        public init(identity: UInt32, region: UInt8, offset: UInt64) {
            self.identity = identity
            self.region = region
            self.offset = offset
        }
    }

    /// The request, without the names of requester and target.
    public var request: TLP
    /// The bus address of the requester's BAR 0, by which the guest finds its name.
    public var requester: UInt64
    /// nil for host memory.
    public var target: Target?

    /// Bytes of an encoded request.
    public static let size = 48
    /// Most bytes that one request accesses: the largest size in PCI Express.
    static let longest = 4096

    private enum Flag {
        static let write: UInt8 = 1
        static let hint: UInt8 = 2
        static let extended: UInt8 = 4
        static let relaxed: UInt8 = 8
        static let target: UInt8 = 16
        static let all: UInt8 = 31
    }

    /// A request of the function with that BAR 0.
    public init(_ request: TLP, requester: UInt64, target: Target?) {
        self.request = request
        self.requester = requester
        self.target = target
    }

    /// Decodes 48 untrusted bytes; nil where they are no request.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == CapturedTLP.size else { return nil }
        let flags = bytes[42], ph = bytes[43], region = bytes[44]
        let length = Int(bytes.little(32, UInt32.self))
        let identity = bytes.little(36, UInt32.self), offset = bytes.little(24, UInt64.self)
        let tag = bytes.little(40, UInt16.self)
        guard flags & ~Flag.all == 0, (1...CapturedTLP.longest).contains(length), ph < 4, region < 6, bytes[45] < 2,
            bytes[46] == 0, bytes[47] == 0,
            flags & Flag.hint != 0 || (tag == 0 && ph == 0 && flags & Flag.extended == 0),
            flags & Flag.target != 0 || (identity == 0 && region == 0 && offset == 0)
        else { return nil }
        request = TLP(
            isWrite: flags & Flag.write != 0, requester: 0, address: bytes.little(8, UInt64.self), length: length)
        if flags & Flag.hint != 0 {
            request.hint = TLP.Hint(tag: tag, isExtended: flags & Flag.extended != 0, ph: ph)
        }
        request.isRelaxed = flags & Flag.relaxed != 0
        request.mode = bytes[45] == 1 ? .flit : .nonFlit
        request.time = bytes.little(0, UInt64.self)
        requester = bytes.little(16, UInt64.self)
        if flags & Flag.target != 0 { target = Target(identity: identity, region: region, offset: offset) }
    }

    /// Encodes it in 48 bytes.
    func store(in bytes: UnsafeMutableRawBufferPointer) {
        var flags: UInt8 = request.isWrite ? Flag.write : 0
        if let hint = request.hint { flags |= Flag.hint | (hint.isExtended ? Flag.extended : 0) }
        if request.isRelaxed { flags |= Flag.relaxed }
        if target != nil { flags |= Flag.target }
        bytes.set(little: 0, request.time)
        bytes.set(little: 8, request.address)
        bytes.set(little: 16, requester)
        bytes.set(little: 24, target?.offset ?? 0)
        bytes.set(little: 32, UInt32(clamping: request.length))
        bytes.set(little: 36, target?.identity ?? 0)
        bytes.set(little: 40, request.hint?.tag ?? 0)
        bytes.set(little: 42, flags)
        bytes.set(little: 43, (request.hint?.ph ?? 0) & 3)
        bytes.set(little: 44, target?.region ?? 0)
        bytes.set(little: 45, request.mode == .flit ? UInt8(1) : 0)
        bytes.set(little: 46, UInt16(0))
    }
}

extension UnsafeRawBufferPointer {
    /// A little-endian number; it must be within.
    func little<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value {
        Value(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Writes a little-endian number; it must be within.
    func set<Value: FixedWidthInteger & BitwiseCopyable>(little offset: Int, _ value: Value) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
    }
}
