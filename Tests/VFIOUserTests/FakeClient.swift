import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

/// Plays QEMU at the other end of a function's connection, in the server's own thread: what the server may wait for has been
/// sent before it waits.
final class FakeClient {
    struct Message: Equatable {
        let header: Header
        let payload: [UInt8]
        var descriptors: [Int32] = []

        var command: String { Command.of(header.command)?.name ?? "\(header.command)" }
        var error: String? { header.hasFailed ? Errno(Int32(header.error)).name : nil }

        func number<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value {
            payload.withUnsafeBytes { $0.number(offset) }
        }
    }

    static let noReply: UInt32 = 0x10
    private static let rights = 16

    let server: Server
    private(set) var socket: Int32
    private var lastID: UInt16 = 0

    /// Connects to a server, and agrees on the version unless that is to be tried.
    init(
        _ server: Server, upstream: Int? = nil, agreeing: Bool = true, limits: String = "{}",
        _ make: @escaping (any PCIBus) throws(Errno) -> any PCIFunction
    ) throws {
        self.server = server
        var ends: [Int32] = [-1, -1]
        try #require(socket_pair(&ends) == 0)
        socket = ends[0]
        try server.add("test", connected: ends[1], upstream: upstream, make)
        guard agreeing else { return }
        let reply = try request(.version, FakeClient.bytes(UInt32(0)) + Array(limits.utf8) + [0])
        try #require(reply.error == nil)
    }

    deinit { leave() }

    /// Closes its end.
    func leave() {
        if socket >= 0 { sys_close(socket) }
        socket = -1
    }

    static func bytes(_ numbers: any (FixedWidthInteger & BitwiseCopyable)...) -> [UInt8] {
        numbers.flatMap { number in withUnsafeBytes(of: number) { Array($0) } }
    }

    // MARK: Sending

    /// Sends bytes as they are, and how many the server's end took.
    @discardableResult
    func send(raw bytes: [UInt8], _ descriptors: [Int32] = []) -> Int {
        bytes.withUnsafeBytes { buffer in
            buffer.baseAddress.map { socket_send(socket, $0, buffer.count, descriptors, descriptors.count) } ?? 0
        }
    }

    static func message(_ header: Header, _ payload: [UInt8]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Header.size)
        bytes.withUnsafeMutableBytes { header.store(in: $0) }
        return bytes + payload
    }

    /// A request, whose number it returns.
    @discardableResult
    func send(_ command: Command, _ payload: [UInt8] = [], _ descriptors: [Int32] = [], flags: UInt32 = 0) -> UInt16 {
        lastID = (lastID + 1) & 0x7fff
        var header = Header(request: command, id: lastID, payload: payload.count)
        header.flags = flags
        let bytes = FakeClient.message(header, payload)
        #expect(send(raw: bytes, descriptors) == bytes.count)
        return lastID
    }

    /// The reply to a DMA request, as it will be asked: the server's numbers are 0x8001, 0x8002 and so on.
    func reply(_ command: Command, id: UInt16, _ payload: [UInt8], error: Int32 = 0) {
        var header = Header(request: command, id: id, payload: payload.count)
        header.flags = error == 0 ? 1 : 0x21
        header.error = UInt32(error)
        send(raw: FakeClient.message(header, payload))
    }

    // MARK: Receiving

    /// Has the server do what it can, and takes what came of it.
    func receive() -> [Message] {
        var messages: [Message] = []
        for _ in 0..<4 {
            server.turn(until: 0)
            while let message = next() { messages.append(message) }
        }
        return messages
    }

    private func next() -> Message? {
        guard socket >= 0 else { return nil }
        var start = [UInt8](repeating: 0, count: Header.size)
        var descriptors = [Int32](repeating: -1, count: FakeClient.rights)
        var count = descriptors.count
        let got = socket_receive(socket, &start, start.count, &descriptors, &count)
        guard got == Header.size else { return nil }
        let header = start.withUnsafeBytes { Header($0) }
        var payload = [UInt8](repeating: 0, count: Int(header.size) - Header.size)
        var filled = 0
        while filled < payload.count {
            var none = 0
            let part = payload.withUnsafeMutableBytes { bytes in
                bytes.baseAddress.map { socket_receive(socket, $0 + filled, bytes.count - filled, nil, &none) } ?? 0
            }
            // What does not fit into the socket comes when there is room.
            if part == 0 { return nil }
            if part < 0 { server.turn(until: 0) } else { filled += part }
        }
        return Message(header: header, payload: payload, descriptors: Array(descriptors.prefix(count)))
    }

    /// The one reply to a request.
    func request(
        _ command: Command, _ payload: [UInt8] = [], _ descriptors: [Int32] = [], flags: UInt32 = 0
    ) throws -> Message {
        let id = send(command, payload, descriptors, flags: flags)
        let messages = receive().filter { $0.header.id == id }
        try #require(messages.count == 1, "\(command.name): \(messages.count) replies")
        return try #require(messages.first)
    }

    // MARK: What clients ask

    func map(_ address: UInt64, _ size: UInt64, file: Int32 = -1, offset: UInt64 = 0, flags: UInt32 = 3) throws
        -> String?
    {
        try request(
            .mapDMA, FakeClient.bytes(UInt32(32), flags, offset, address, size), file < 0 ? [] : [file]
        ).error
    }

    func unmap(_ address: UInt64, _ size: UInt64, flags: UInt32 = 0) throws -> Message {
        try request(.unmapDMA, FakeClient.bytes(UInt32(24), flags, address, size))
    }

    func write(_ region: UInt32, _ offset: UInt64, _ data: [UInt8], flags: UInt32 = 0) {
        send(.writeRegion, FakeClient.bytes(offset, region, UInt32(data.count)) + data, flags: flags)
    }

    func read(_ region: UInt32, _ offset: UInt64, _ count: UInt32) throws -> [UInt8] {
        let reply = try request(.readRegion, FakeClient.bytes(offset, region, count))
        try #require(reply.error == nil)
        return Array(reply.payload[16...])
    }

    /// Turns memory decoding and bus mastering on.
    func enable(_ command: UInt16 = 6) {
        write(7, 4, FakeClient.bytes(command))
        _ = receive()
    }

    func setInterrupts(
        _ flags: UInt32, kind: UInt32 = 2, start: UInt32 = 0, count: UInt32, _ descriptors: [Int32] = [],
        data: [UInt8] = []
    ) throws -> String? {
        try request(.setInterrupts, FakeClient.bytes(UInt32(20), flags, kind, start, count) + data, descriptors).error
    }
}

/// A function that notes what happens to it, and works as a test says.
final class Probe: ConfiguredFunction {
    let configuration: ConfigSpace
    let bus: any PCIBus
    var onWork: ((any PCIBus) -> Void)?
    var log: [String] = []
    var registers = [UInt8](repeating: 0, count: 4096)
    var file: Int32 = -1
    var fileSize = 0
    var wakeUp: UInt64?
    var vectorCount = 4
    private var isIn = false

    init(_ bus: any PCIBus) {
        self.bus = bus
        configuration = ConfigSpace(
            ConfigSpace.Identity(vendor: 0x1af4, device: 0x1111, classCode: 0x088000),
            bars: [
                ConfigSpace.BAR(0, size: 4096, is64Bit: false, isPrefetchable: false), ConfigSpace.BAR(2, size: 65536),
            ],
            capabilities: [.express(), .power()])
    }

    func region(_ index: Int) -> RegionDescription {
        switch index {
        case 0: RegionDescription(size: 4096)
        case 2: RegionDescription(size: fileSize, file: file)
        case 7: RegionDescription(size: ConfigSpace.size)
        default: RegionDescription(size: 0)
        }
    }

    func read(_ region: Int, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
        if region == 7 { return configuration.read(at: offset, into: bytes) }
        log.append("read \(region) \(offset) \(bytes.count)\(isIn ? " within work" : "")")
        bytes.copyBytes(from: registers[offset..<(offset + bytes.count)])
    }

    func write(_ region: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        if region == 7 { return configuration.write(at: offset, bytes) }
        log.append("write \(region) \(offset) \(bytes.count)\(isIn ? " within work" : "")")
        registers.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }

    func work() {
        isIn = true
        onWork?(bus)
        isIn = false
    }

    func reset() {
        log.append("reset\(isIn ? " within work" : "")")
        configuration.reset()
    }
}

extension PCIBus {
    func bytes(_ address: UInt64, _ count: Int) throws(DMAFault) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { buffer.deallocate() }
        try read(address, into: buffer)
        return Array(buffer)
    }

    func write(_ address: UInt64, _ bytes: [UInt8]) throws(DMAFault) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        try write(address, UnsafeRawBufferPointer(buffer))
    }
}

/// A memory file for a test, and what is in it.
final class MemoryFile {
    let descriptor: Int32

    init(_ size: Int) {
        descriptor = Int32(sys_memfd(0))
        sys_ftruncate(descriptor, Int64(size))
    }

    deinit { sys_close(descriptor) }

    var identity: FileIdentity {
        var status = stat()
        fstat(descriptor, &status)
        return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    subscript(_ range: Range<Int>) -> [UInt8] {
        get {
            var bytes = [UInt8](repeating: 0, count: range.count)
            sys_pread(descriptor, &bytes, bytes.count, UInt64(range.lowerBound))
            return bytes
        }
        set { sys_pwrite(descriptor, newValue, newValue.count, UInt64(range.lowerBound)) }
    }
}

/// A server, its one client and function.
struct Rig {
    let server = Server()
    let client: FakeClient
    let probe: Probe

    init(limits: String = "{}") throws {
        var made: Probe?
        client = try FakeClient(server, limits: limits) { bus in
            let probe = Probe(bus)
            made = probe
            return probe
        }
        probe = try #require(made)
        client.enable()
    }

    /// Has the function work as the closure says, once, beginning with a posted write. Replies that it waits for must be sent
    /// before.
    func work(_ body: @escaping (any PCIBus) -> Void) -> [FakeClient.Message] {
        start(body)
        return client.receive()
    }

    /// The same, without having the server do anything yet.
    func start(_ body: @escaping (any PCIBus) -> Void) {
        probe.onWork = { [probe] bus in
            probe.onWork = nil
            body(bus)
        }
        client.write(0, 0, [1], flags: FakeClient.noReply)
    }
}
