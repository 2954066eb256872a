/// What a work queue entry asks for: the low byte of its control segment. include/linux/mlx5/device.h:MLX5_OPCODE_*
enum WorkRequestOpcode: UInt8 {
    case nop = 0x00
    case sendInvalidate = 0x01
    case write = 0x08
    case writeImmediate = 0x09
    case send = 0x0a
    case sendImmediate = 0x0b
    case read = 0x10
    case compareSwap = 0x11
    case fetchAdd = 0x12
    case maskedCompareSwap = 0x14
    case maskedFetchAdd = 0x15
    case umr = 0x25

    var isSend: Bool { self == .send || self == .sendImmediate || self == .sendInvalidate }
    var isWrite: Bool { self == .write || self == .writeImmediate }
    var isAtomic: Bool {
        self == .compareSwap || self == .fetchAdd || self == .maskedCompareSwap || self == .maskedFetchAdd
    }
    /// Bytes of an atomic operation's operands.
    var operandSize: Int {
        self == .maskedCompareSwap ? WorkRequestLayout.maskedAtomic : WorkRequestLayout.atomic
    }
    /// Whether the responder returns data.
    var isFetch: Bool { self == .read || isAtomic }
    /// Whether the responder needs a receive request for it.
    var needsReceive: Bool { isSend || self == .writeImmediate }
}

/// Sizes and places of a send request's parts, in bytes. include/linux/mlx5/qp.h
enum WorkRequestLayout {
    static let block = 64
    static let unit = 16
    /// Units that an entry may have: what its control segment can say.
    static let mostUnits = 63
    static let control = 16
    static let remoteAddress = 16
    static let atomic = 16
    static let maskedAtomic = 32
    static let xrc = 16
    static let data = 16
    /// An address vector without and with what a GRH needs.
    static let baseVector = 16
    static let extendedVector = 48
    static let umrControl = 48
}

/// A control segment.
struct ControlSegment {
    var opcode: UInt8
    /// Units of 16 bytes of the whole entry.
    var units: Int
    var flags: UInt8
    /// Immediate data, the key to invalidate, or the key that an UMR changes.
    var immediate: UInt32

    init(_ bytes: UnsafeRawBufferPointer) {
        opcode = bytes[3]
        units = Int(bytes[7] & 0x3f)
        flags = bytes[11]
        immediate = bytes.word(12)
    }

    /// Whether success makes a completion entry as well: MLX5_WQE_CTRL_CQ_UPDATE.
    var isSignaled: Bool { flags >> 2 & 3 >= 2 }
    var isSolicited: Bool { flags & 2 != 0 }
}

/// A data segment: an address range under a memory key or, in a send request, inline bytes that follow.
struct DataSegment {
    var length: Int
    var key: UInt32
    var address: UInt64

    /// The one at a place of an entry.
    init(_ bytes: UnsafeRawBufferPointer, at place: Int) {
        let count = bytes.word(place)
        // A count of 0 is the largest one.
        length = count & 0x7fff_ffff == 0 ? 1 << 31 : Int(count & 0x7fff_ffff)
        key = bytes.word(place + 4)
        address = bytes.longWord(place + 8)
    }

    /// The length of inline data at byte `place` of an entry; nil where a plain data segment is there.
    static func inlineLength(_ bytes: UnsafeRawBufferPointer, at place: Int) -> Int? {
        let count = bytes.word(place)
        return count >> 31 == 1 ? Int(count & 0x3ff) : nil
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Writes a number, big-endian, at a place that lies within.
    func put<Number: FixedWidthInteger>(_ number: Number, at place: Int) {
        storeBytes(of: number.bigEndian, toByteOffset: place, as: Number.self)
    }
}

extension UnsafeRawBufferPointer {
    /// The big-endian word at a place that lies within.
    func word(_ place: Int) -> UInt32 { UInt32(bigEndian: loadUnaligned(fromByteOffset: place, as: UInt32.self)) }

    /// The big-endian word of 64 bits at a place that lies within.
    func longWord(_ place: Int) -> UInt64 { UInt64(bigEndian: loadUnaligned(fromByteOffset: place, as: UInt64.self)) }
}
