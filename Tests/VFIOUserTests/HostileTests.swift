import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

/// Messages that were changed at random, the same in each run. In a process of its own, where nothing else opens anything.
@Suite struct HostileTests {
    @Test func noMessageDoesHarm() async {
        await #expect(processExitsWith: .success) {
            var attacker = Attacker(seed: 17)
            // What is made once, such as by the first JSON, is made now.
            try attacker.round()
            let before = HostileTests.openDescriptors()
            while attacker.count < 30_000 { try attacker.round() }
            let after = HostileTests.openDescriptors()
            guard after == before else { exit(1) }
            // It got through to where the harm would be.
            if attacker.answered < 1000 { exit(2) }
            if attacker.refused < 1000 { exit(3) }
            if attacker.asked < 100 { exit(4) }
            if attacker.ended < 30 { exit(5) }
            exit(0)
        }
    }

    /// Those of the kinds that the attacker hands over or that come of it; the program's own threads open others as they
    /// begin.
    static func openDescriptors() -> Int {
        (0..<4096).count { number in
            var name = [UInt8](repeating: 0, count: 256)
            let count = readlink("/proc/self/fd/\(number)", &name, name.count)
            let text = String(decoding: name[..<max(count, 0)], as: UTF8.self)
            return ["/memfd:", "socket:", "/dev/zero", "/proc/"].contains { text.hasPrefix($0) } || text == "/"
        }
    }
}

/// A client that knows the protocol, and breaks it.
private struct Attacker {
    private var state: UInt64
    /// Messages sent, replies without and with an error, requests for memory, and connections that were ended for it.
    var count = 0, answered = 0, refused = 0, asked = 0, ended = 0

    init(seed: UInt64) { state = seed }

    /// xorshift64*, as good as any.
    private mutating func below(_ limit: Int) -> Int {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return Int((state &* 0x2545_f491_4f6c_dd1d) >> 33) % max(limit, 1)
    }

    private mutating func number() -> UInt64 {
        let some: [UInt64] = [
            0, 1, 2, 3, 4, 7, 8, 16, 0x24, 0x1000, 0x2000, 0x3000, 4095, 4096, 65536, 1 << 20, 1 << 31, 0xfe00_0000,
            1 << 32,
            1 << 63, .max, .max - 4095, 0xffff_ffff,
        ]
        return below(4) == 0 ? UInt64(below(1 << 30)) : some[below(some.count)]
    }

    private mutating func payload(of command: Command) -> [UInt8] {
        let (a, b, c) = (number(), number(), number())
        let small = UInt32(below(9)), bits = UInt32(below(4))
        switch command.number {
        case 1:
            return FakeClient.bytes(UInt32(0)) + Array("{\"capabilities\":{\"max_data_xfer_size\":\(a)}}".utf8) + [0]
        case 2:
            return FakeClient.bytes(
                UInt32(32), bits, UInt64(below(3)) << 12, UInt64(below(16)) << 12, UInt64(below(5)) << 12)
        case 3: return FakeClient.bytes(UInt32(24), bits, UInt64(below(16)) << 12, UInt64(below(9)) << 12)
        case 4: return FakeClient.bytes(UInt32(16), UInt32(0), UInt64(0))
        case 5: return FakeClient.bytes(UInt32(32), UInt32(0), small, UInt32(0), UInt64(0), UInt64(0))
        case 7: return FakeClient.bytes(UInt32(16), UInt32(0), small, UInt32(0))
        case 8: return FakeClient.bytes(UInt32(20), UInt32(below(64)), UInt32(2), bits, UInt32(below(5)), b)
        case 9: return FakeClient.bytes(a % 4096, small, UInt32(below(64)))
        case 10:
            // To the registers of the engine, most of the time: an address, a length, a vector.
            let data = FakeClient.bytes(below(2) == 0 ? UInt64(below(1 << 16)) : b, c)
            let region = UInt32(below(3) == 0 ? 7 : below(2) * 2)
            return FakeClient.bytes(region == 7 ? a % 4096 : UInt64(below(24)), region, UInt32(16)) + data
        case 11, 12: return FakeClient.bytes(a, b, c)
        default: return []
        }
    }

    private mutating func message(_ id: UInt16) -> [UInt8] {
        let command = Command.all[below(Command.all.count)]
        let body = payload(of: command)
        var header = Header(request: command, id: id, payload: body.count)
        if below(4) == 0 { header.flags = FakeClient.noReply }
        if below(8) == 0 {
            header.flags = [1, 0x21, 0x31][below(3)]
            header.id = 0x8001 + UInt16(below(4))
        }
        var bytes = FakeClient.message(header, body)
        for _ in 0..<(below(3) == 0 ? 1 + below(4) : 0) {
            // Lengths of messages seldom: what comes after one is lost.
            let place =
                below(20) == 0 ? below(bytes.count) : min(bytes.count - 1, Header.size + below(max(body.count, 1)))
            bytes[place] = UInt8(truncatingIfNeeded: number())
        }
        if below(40) == 0 { bytes.removeLast(below(bytes.count)) }
        return bytes
    }

    /// One connection of two functions below a switch, and up to 40 messages.
    mutating func round() throws {
        let server = Server()
        server.completionTimeout = 0
        let engine = try FakeClient(server, upstream: 0) { Engine($0) }
        var description = Exporter.Description()
        description.size = 65536
        let exporter = try FakeClient(server, upstream: 0) { [description] bus throws(Errno) in
            try Exporter(description, on: bus)
        }
        engine.enable()
        exporter.write(7, 0x18, FakeClient.bytes(UInt32(0xfe00_0000)))
        exporter.enable()
        // So that it is asked for memory.
        if below(2) == 0 { _ = try engine.map(0, 0x10000) }
        let files = descriptors()
        defer { for file in files { close(file) } }
        for _ in 0..<(1 + below(40)) {
            let client = below(4) == 0 ? exporter : engine
            let sent = (0..<(below(4) == 0 ? below(18) : below(2))).map { _ in files[below(files.count)] }
            client.send(raw: message(UInt16(below(1 << 15))), sent)
            count += 1
            if below(3) == 0 { take(engine.receive() + exporter.receive()) }
        }
        // A file becomes shorter while it is mapped.
        ftruncate(files[0], 0)
        let data = FakeClient.bytes(UInt64(0), UInt32(0), UInt32(16), UInt64(below(1 << 16)), UInt64(64))
        engine.send(raw: FakeClient.message(Header(request: .writeRegion, id: 1, payload: data.count), data))
        take(engine.receive() + exporter.receive())
        ended += server.ports.count { $0.connection == nil }
        if below(2) == 0 { engine.leave() }
        take(exporter.receive())
    }

    /// What a client may hand over: memory, events, and what is neither.
    private func descriptors() -> [Int32] {
        let files = [Int32(sys_memfd(0)), Int32(sys_memfd(0))]
        for file in files { ftruncate(file, 8192) }
        return files + [
            Int32(sys_eventfd(0)), open("/dev/zero", O_RDWR | O_CLOEXEC), open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
            socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0), open("/", O_RDONLY | O_CLOEXEC),
        ]
    }

    private mutating func take(_ messages: [FakeClient.Message]) {
        for message in messages {
            for descriptor in message.descriptors { close(descriptor) }
            if message.header.isRequest {
                asked += 1
            } else if message.header.hasFailed {
                refused += 1
            } else {
                answered += 1
            }
        }
    }
}

/// Copies what its registers say: 0 an address, 8 a length; and raises vectors.
private final class Engine: ConfiguredFunction {
    let configuration = ConfigSpace(
        ConfigSpace.Identity(vendor: 0x1af4, device: 0x1112, classCode: 0x088000),
        bars: [ConfigSpace.BAR(0, size: 4096, is64Bit: false, isPrefetchable: false)],
        capabilities: [.express(), .power(keepsState: false), .msix(vectors: 8, table: (0, 2048), pending: (0, 3072))])
    private let bus: any PCIBus
    private var registers = [UInt8](repeating: 0, count: 4096)
    private var isAsked = false
    let vectorCount = 8

    init(_ bus: any PCIBus) { self.bus = bus }

    func region(_ index: Int) -> RegionDescription {
        RegionDescription(size: index == 0 || index == 7 ? 4096 : 0)
    }

    func read(_ region: Int, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
        if region == 7 { return configuration.read(at: offset, into: bytes) }
        bytes.copyBytes(from: registers[offset..<(offset + bytes.count)])
    }

    func write(_ region: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        if region == 7 { return configuration.write(at: offset, bytes) }
        registers.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        isAsked = true
    }

    func work() {
        guard isAsked else { return }
        isAsked = false
        let (address, length): (UInt64, UInt64) = registers.withUnsafeBytes { ($0.number(0), $0.number(8)) }
        do throws(DMAFault) {
            let bytes = try bus.bytes(address, Int(length % 20_000))
            try bus.write(address &+ 4096, bytes)
        } catch {}
        for vector in 0..<8 { bus.interrupt(vector) }
    }

    func reset() {
        configuration.reset()
        isAsked = false
    }
}
