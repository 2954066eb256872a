/// A kind of vfio-user message: number, name, and the lengths and descriptors that a request of it may have. Source:
/// QEMU's docs/interop/vfio-user.rst.
struct Command: Sendable {
    let number: UInt16
    let name: String
    /// Bytes behind the header of a client's request; nil for a request that only servers send.
    let payload: ClosedRange<Int>?
    /// The most descriptors that come along.
    var descriptors = 0

    /// Bytes of data that one message carries at most, in either direction.
    static let mostData = 1 << 20
    /// Descriptors that one message carries at most.
    static let mostDescriptors = 16
    /// Bytes of a whole message at most.
    static let longest = Header.size + RegionAccess.size + mostData

    static let version = Command(number: 1, name: "VERSION", payload: 4...4096)
    static let mapDMA = Command(number: 2, name: "DMA_MAP", payload: 32...32, descriptors: 1)
    static let unmapDMA = Command(number: 3, name: "DMA_UNMAP", payload: 24...4096)
    static let deviceInfo = Command(number: 4, name: "DEVICE_GET_INFO", payload: 16...4096)
    static let regionInfo = Command(number: 5, name: "DEVICE_GET_REGION_INFO", payload: 32...4096)
    static let regionDescriptors = Command(number: 6, name: "DEVICE_GET_REGION_IO_FDS", payload: nil)
    static let interruptInfo = Command(number: 7, name: "DEVICE_GET_IRQ_INFO", payload: 16...4096)
    static let setInterrupts = Command(
        number: 8, name: "DEVICE_SET_IRQS", payload: 20...4096, descriptors: mostDescriptors)
    static let readRegion = Command(number: 9, name: "REGION_READ", payload: 16...16)
    static let writeRegion = Command(number: 10, name: "REGION_WRITE", payload: 17...(16 + mostData))
    static let readDMA = Command(number: 11, name: "DMA_READ", payload: nil)
    static let writeDMA = Command(number: 12, name: "DMA_WRITE", payload: nil)
    static let reset = Command(number: 13, name: "DEVICE_RESET", payload: 0...0)
    static let dirtyPages = Command(number: 14, name: "DIRTY_PAGES", payload: nil)
    static let writeRegions = Command(number: 15, name: "REGION_WRITE_MULTI", payload: nil)

    /// All of them, in the order of their numbers, which begin at 1.
    static let all = [
        version, mapDMA, unmapDMA, deviceInfo, regionInfo, regionDescriptors, interruptInfo, setInterrupts, readRegion,
        writeRegion, readDMA, writeDMA, reset, dirtyPages, writeRegions,
    ]

    /// The one of a number; nil for one that the protocol lacks.
    static func of(_ number: UInt16) -> Command? {
        number >= 1 && Int(number) <= all.count ? all[Int(number) - 1] : nil
    }
}

/// The 16 bytes before each message, in the byte order of the machine that both ends run on.
struct Header: Equatable {
    static let size = 16
    /// The kind of message: the lowest four bits of the flags.
    private static let kind: UInt32 = 0xf
    private static let reply: UInt32 = 0x1
    private static let noReply: UInt32 = 0x10
    private static let failed: UInt32 = 0x20

    var id: UInt16
    var command: UInt16
    /// Bytes of the whole message.
    var size: UInt32
    var flags: UInt32 = 0
    var error: UInt32 = 0

    var isRequest: Bool { flags & Header.kind == 0 }
    var isReply: Bool { flags & Header.kind == Header.reply }
    /// Whether nobody waits for an answer.
    var wantsNoReply: Bool { flags & Header.noReply != 0 }
    var hasFailed: Bool { flags & Header.failed != 0 }

    /// A request of `payload` bytes.
    init(request command: Command, id: UInt16, payload: Int) {
        self.id = id
        self.command = command.number
        size = UInt32(Header.size + payload)
    }

    /// The reply to a request, of `payload` bytes, or an error.
    init(replyTo request: Header, payload: Int, error: Int32 = 0) {
        id = request.id
        command = request.command
        size = UInt32(Header.size + payload)
        flags = Header.reply | (error == 0 ? 0 : Header.failed)
        self.error = UInt32(bitPattern: error)
    }

    /// At least 16 bytes.
    init(_ bytes: UnsafeRawBufferPointer) {
        id = bytes.number(0)
        command = bytes.number(2)
        size = bytes.number(4)
        flags = bytes.number(8)
        error = bytes.number(12)
    }

    func store(in bytes: UnsafeMutableRawBufferPointer) {
        bytes.set(0, id)
        bytes.set(2, command)
        bytes.set(4, size)
        bytes.set(8, flags)
        bytes.set(12, error)
    }
}

/// What REGION_READ and REGION_WRITE begin with, in both directions.
struct RegionAccess {
    static let size = 16
    let offset: UInt64
    let region: UInt32
    let count: UInt32

    init(_ payload: UnsafeRawBufferPointer) {
        offset = payload.number(0)
        region = payload.number(8)
        count = payload.number(12)
    }
}

extension UnsafeRawBufferPointer {
    /// A number at an offset that lies within.
    func number<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: Value.Type = Value.self) -> Value {
        loadUnaligned(fromByteOffset: offset, as: Value.self)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Stores a number at an offset that lies within.
    func set<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ value: Value) {
        storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }
}
