import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

/// What a client asks, and what it is told; each refusal leaves everything as it was.
@Suite struct RequestTests {
    private static let version = FakeClient.bytes(UInt32(0))

    @Test func theVersionIsAgreedOnFirstAndOnce() throws {
        let server = Server()
        let client = try FakeClient(server, agreeing: false) { Probe($0) }
        #expect(try client.request(.deviceInfo, FakeClient.bytes(UInt32(16), UInt32(0), UInt64(0))).error == "EPROTO")
        let reply = try client.request(
            .version, Self.version + Array("{\"capabilities\":{\"max_msg_fds\":16}}".utf8) + [0])
        #expect(reply.error == nil && reply.number(0, UInt32.self) == 0)
        #expect(reply.payload.last == 0)
        let text = String(decoding: reply.payload[4...].dropLast(), as: UTF8.self)
        #expect(text.contains("\"max_data_xfer_size\":1048576") && text.contains("\"pgsizes\":4096"))
        #expect(try client.request(.version, Self.version).error == "errno 114")
    }

    private static let versions: [([UInt8], String)] = [
        (FakeClient.bytes(UInt16(1), UInt16(0)), "EPROTONOSUPPORT"), (text("{}", isEnded: false), "EINVAL"),
        (text("{"), "EINVAL"), ([0, 0, 0], "EINVAL"), (text("{\"capabilities\":{\"max_data_xfer_size\":0}}"), "EINVAL"),
        (text("{\"capabilities\":{\"max_data_xfer_size\":-1}}"), "EINVAL"),
        (text("{\"capabilities\":{\"max_data_xfer_size\":1e99}}"), "EINVAL"),
        (text(String(repeating: "[", count: 4000)), "EINVAL"), (text(String(repeating: " ", count: 4093)), "EINVAL"),
    ]

    private static func text(_ json: String, isEnded: Bool = true) -> [UInt8] {
        version + Array(json.utf8) + (isEnded ? [0] : [])
    }

    @Test(arguments: versions)
    func aVersionThatIsNoneIsRefused(_ payload: [UInt8], _ error: String) throws {
        let client = try FakeClient(Server(), agreeing: false) { Probe($0) }
        #expect(try client.request(.version, payload).error == error)
        #expect(try client.request(.version, Self.version).error == nil)
    }

    @Test func theFunctionIsDescribed() throws {
        let rig = try Rig()
        let file = MemoryFile(65536)
        (rig.probe.file, rig.probe.fileSize) = (file.descriptor, 65536)
        let info = try rig.client.request(.deviceInfo, FakeClient.bytes(UInt32(16), UInt32(0), UInt64(0)))
        #expect(info.payload == FakeClient.bytes(UInt32(16), UInt32(3), UInt32(9), UInt32(5)))
        func region(_ index: UInt32) throws -> FakeClient.Message {
            try rig.client.request(
                .regionInfo, FakeClient.bytes(UInt32(32), UInt32(0), index, UInt32(0), UInt64(0), UInt64(0)))
        }
        let registers = try region(0)
        #expect(
            registers.payload
                == FakeClient.bytes(UInt32(32), UInt32(3), UInt32(0), UInt32(0), UInt64(4096), UInt64(0)))
        #expect(registers.descriptors.isEmpty)
        let memory = try region(2)
        #expect(memory.number(4, UInt32.self) == 7 && memory.number(16, UInt64.self) == 65536)
        #expect(memory.descriptors.count == 1)
        file[0..<4] = [1, 2, 3, 4]
        var bytes = [UInt8](repeating: 0, count: 4)
        sys_pread(memory.descriptors[0], &bytes, 4, 0)
        #expect(bytes == [1, 2, 3, 4])
        sys_close(memory.descriptors[0])
        #expect(try region(1).number(4, UInt32.self) == 0)
        #expect(try region(9).error == "EINVAL")
        let vectors = try rig.client.request(
            .interruptInfo, FakeClient.bytes(UInt32(16), UInt32(0), UInt32(2), UInt32(0)))
        #expect(vectors.payload == FakeClient.bytes(UInt32(16), UInt32(1), UInt32(2), UInt32(4)))
        let others = try rig.client.request(
            .interruptInfo, FakeClient.bytes(UInt32(16), UInt32(0), UInt32(3), UInt32(0)))
        #expect(others.payload == FakeClient.bytes(UInt32(16), UInt32(0), UInt32(3), UInt32(0)))
    }

    /// Each one a request that is wrong in one way.
    /// A request that is wrong in one way.
    struct Refusal: Sendable, CustomTestStringConvertible {
        let command: Command
        let payload: [UInt8]
        let descriptors: Int
        let error: String

        var testDescription: String { "\(command.name) \(payload)" }

        init(_ command: Command, _ payload: [UInt8], descriptors: Int = 0, _ error: String) {
            self.command = command
            self.payload = payload
            self.descriptors = descriptors
            self.error = error
        }
    }

    private static let refusals: [Refusal] = [
        Refusal(Command.deviceInfo, FakeClient.bytes(UInt32(15), UInt32(0), UInt64(0)), "EINVAL"),
        Refusal(Command.deviceInfo, FakeClient.bytes(UInt32(16), UInt32(0)), "EINVAL"),
        Refusal(Command.deviceInfo, FakeClient.bytes(UInt32(16), UInt32(0), UInt64(0)), descriptors: 1, "EINVAL"),
        Refusal(
            Command.regionInfo, FakeClient.bytes(UInt32(31), UInt32(0), UInt32(0), UInt32(0), UInt64(0), UInt64(0)),
            "EINVAL"),
        Refusal(
            Command.regionInfo, FakeClient.bytes(UInt32(32), UInt32(0), UInt32.max, UInt32(0), UInt64(0), UInt64(0)),
            "EINVAL"),
        Refusal(Command.interruptInfo, FakeClient.bytes(UInt32(16), UInt32(0), UInt32(5), UInt32(0)), "EINVAL"),
        Refusal(Command.interruptInfo, FakeClient.bytes(UInt32(0), UInt32(0), UInt32(2), UInt32(0)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(0), UInt32(9), UInt32(4)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(0), UInt32.max, UInt32(4)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(0), UInt32(0), UInt32(0)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(4093), UInt32(0), UInt32(4)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64.max, UInt32(0), UInt32(4)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(1) << 63, UInt32(7), UInt32(4)), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(0), UInt32(0), UInt32.max), "EINVAL"),
        Refusal(Command.readRegion, FakeClient.bytes(UInt64(0), UInt32(1), UInt32(1)), "EINVAL"),
        Refusal(Command.writeRegion, FakeClient.bytes(UInt64(0), UInt32(0), UInt32(4)), "EINVAL"),
        Refusal(Command.writeRegion, FakeClient.bytes(UInt64(0), UInt32(0), UInt32(4), UInt16(0)), "EINVAL"),
        Refusal(Command.writeRegion, FakeClient.bytes(UInt64(0), UInt32(0), UInt32(1), UInt16(0)), "EINVAL"),
        Refusal(Command.writeRegion, FakeClient.bytes(UInt64(4096), UInt32(7), UInt32(1), UInt8(0)), "EINVAL"),
        Refusal(Command.mapDMA, FakeClient.bytes(UInt32(31), UInt32(3), UInt64(0), UInt64(0), UInt64(4096)), "EINVAL"),
        Refusal(Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(0), UInt64(0), UInt64(0), UInt64(4096)), "EINVAL"),
        Refusal(Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(7), UInt64(0), UInt64(0), UInt64(4096)), "EINVAL"),
        Refusal(Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(0)), "EINVAL"),
        Refusal(Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(0), UInt64(1), UInt64(4096)), "EINVAL"),
        Refusal(Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4095)), "EINVAL"),
        Refusal(
            Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(0), UInt64.max - 4095, UInt64(8192)),
            "EINVAL"),
        Refusal(
            Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(8192), UInt64(0), UInt64(4096)),
            descriptors: 1, "EINVAL"),
        Refusal(
            Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64.max - 4095, UInt64(0), UInt64(4096)),
            descriptors: 1, "EINVAL"),
        Refusal(
            Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(1), UInt64(0), UInt64(4096)), descriptors: 1,
            "EINVAL"),
        Refusal(
            Command.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4096)), descriptors: 2,
            "EINVAL"),
        Refusal(Command.unmapDMA, FakeClient.bytes(UInt32(23), UInt32(0), UInt64(0), UInt64(4096)), "EINVAL"),
        Refusal(Command.unmapDMA, FakeClient.bytes(UInt32(24), UInt32(4), UInt64(0), UInt64(4096)), "EINVAL"),
        Refusal(Command.unmapDMA, FakeClient.bytes(UInt32(24), UInt32(1), UInt64(0), UInt64(4096)), "EOPNOTSUPP"),
        Refusal(Command.unmapDMA, FakeClient.bytes(UInt32(24), UInt32(2), UInt64(0), UInt64(4096)), "EINVAL"),
        Refusal(Command.unmapDMA, FakeClient.bytes(UInt32(24), UInt32(0), UInt64(0), UInt64(0)), "EINVAL"),
        Refusal(Command.unmapDMA, FakeClient.bytes(UInt32(24), UInt32(0), UInt64.max - 4095, UInt64(8192)), "EINVAL"),
        Refusal(Command.reset, [0], "EINVAL"),
        Refusal(Command.regionDescriptors, [], "EOPNOTSUPP"),
        Refusal(Command.readDMA, [], "EOPNOTSUPP"),
        Refusal(Command.writeDMA, [], "EOPNOTSUPP"),
        Refusal(Command.dirtyPages, [], "EOPNOTSUPP"),
        Refusal(Command.writeRegions, [], "EOPNOTSUPP"),
        Refusal(Command(number: 0, name: "none", payload: nil), [], "EOPNOTSUPP"),
        Refusal(Command(number: 0xffff, name: "none", payload: nil), [], "EOPNOTSUPP"),
    ]

    @Test(arguments: refusals)
    func whatIsWrongIsRefused(_ refusal: Refusal) throws {
        let (command, payload) = (refusal.command, refusal.payload)
        let rig = try Rig()
        let file = MemoryFile(8192)
        let sent = [Int32](repeating: file.descriptor, count: refusal.descriptors)
        #expect(try rig.client.request(command, payload, sent).error == refusal.error, "\(command.name)")
        // Without a reply there is no error either, and the connection lives.
        rig.client.send(command, payload, sent, flags: FakeClient.noReply)
        #expect(rig.client.receive().isEmpty)
        #expect(try rig.client.read(7, 0, 2) == [0xf4, 0x1a])
        #expect(rig.probe.log.isEmpty)
    }

    @Test func regionsAreReadAndWritten() throws {
        let rig = try Rig()
        rig.client.write(0, 8, [1, 2, 3])
        let reply = rig.client.receive()
        #expect(reply.count == 1 && reply[0].payload == FakeClient.bytes(UInt64(8), UInt32(0), UInt32(3)))
        #expect(try rig.client.read(0, 7, 5) == [0, 1, 2, 3, 0])
        rig.client.write(0, 4095, [9], flags: FakeClient.noReply)
        #expect(rig.client.receive().isEmpty)
        #expect(try rig.client.read(0, 0, 4096).last == 9)
    }

    @Test func aBARThatDoesNotDecodeIsNotThere() throws {
        let rig = try Rig()
        rig.client.enable(0)
        rig.client.write(0, 0, [1, 2])
        #expect(rig.client.receive().first?.error == nil)
        #expect(try rig.client.read(0, 0, 2) == [0xff, 0xff])
        #expect(rig.probe.log.isEmpty)
        #expect(try rig.client.read(7, 0, 2) == [0xf4, 0x1a])
    }

    @Test func whatIsNoMessageEndsTheConnection() throws {
        for header in [
            FakeClient.bytes(UInt16(1), UInt16(4), UInt32(15), UInt32(0), UInt32(0)),
            FakeClient.bytes(UInt16(1), UInt16(4), UInt32.max, UInt32(0), UInt32(0)),
            FakeClient.bytes(UInt16(1), UInt16(10), UInt32(16 + 16 + (1 << 20) + 1), UInt32(0), UInt32(0)),
            FakeClient.bytes(UInt16(1), UInt16(4), UInt32(16), UInt32(2), UInt32(0)),
        ] {
            let rig = try Rig()
            rig.client.send(raw: header)
            #expect(rig.client.receive().isEmpty)
            #expect(!rig.server.isConnected)
        }
    }

    @Test func messagesMayComeInPieces() throws {
        let rig = try Rig()
        let whole = FakeClient.message(
            Header(request: .readRegion, id: 77, payload: 16), FakeClient.bytes(UInt64(0), UInt32(7), UInt32(2)))
        for byte in whole.dropLast() {
            rig.client.send(raw: [byte])
            #expect(rig.client.receive().isEmpty)
        }
        rig.client.send(raw: [whole[whole.count - 1]])
        #expect(rig.client.receive().map(\.header.id) == [77])
        // And several at once.
        rig.client.send(raw: whole + whole + whole)
        #expect(rig.client.receive().map(\.header.id) == [77, 77, 77])
    }

    @Test func aClientThatReadsNothingIsNotReadEither() throws {
        let rig = try Rig()
        let file = MemoryFile(1 << 20)
        (rig.probe.file, rig.probe.fileSize) = (file.descriptor, 1 << 20)
        rig.probe.registers = [UInt8](repeating: 7, count: 1 << 20)
        let payload = FakeClient.bytes(UInt64(0), UInt32(2), UInt32(1 << 20))
        var sent = 0
        // Full: neither end takes more.
        while sent < 100_000 {
            let message = FakeClient.message(
                Header(request: .readRegion, id: UInt16(sent & 0x7fff), payload: 16), payload)
            guard rig.client.send(raw: message) == message.count else { break }
            sent += 1
            if sent % 64 == 0 { rig.server.turn(until: 0) }
        }
        #expect(sent < 100_000)
        #expect(rig.probe.log.count < 16)
        var replies = 0
        while case let some = rig.client.receive(), !some.isEmpty {
            for one in some {
                #expect(one.header.id == UInt16(replies & 0x7fff) && one.payload.count == 16 + (1 << 20))
                replies += 1
            }
            if replies >= 40 { break }
        }
        #expect(replies >= 40)
    }

    @Test func resetIsAnsweredAndDone() throws {
        let rig = try Rig()
        #expect(try rig.client.request(.reset).error == nil)
        #expect(rig.probe.log == ["reset"])
        #expect(!rig.probe.isBusMaster)
    }

    @Test func functionLevelResetComesByTheConfigurationSpace() throws {
        let rig = try Rig()
        let express = try #require(
            (0x40..<0x100).first { rig.probe.configuration.get($0, 1) == 0x10 && $0 % 4 == 0 })
        rig.client.write(7, UInt64(express + 8), FakeClient.bytes(UInt16(0xa810)))
        #expect(rig.client.receive().count == 1)
        #expect(rig.probe.log == ["reset"])
    }

    @Test func aFunctionWorksWhenItsTimeHasCome() throws {
        let rig = try Rig()
        var count = 0
        rig.probe.onWork = { _ in
            count += 1
            rig.probe.wakeUp = nil
        }
        rig.probe.wakeUp = .max
        _ = rig.client.receive()
        #expect(count == 0)
        rig.probe.wakeUp = 1
        _ = rig.client.receive()
        #expect(count == 1)
    }
}
