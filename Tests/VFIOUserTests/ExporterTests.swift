import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

@Suite struct ExporterTests {
    private static func client(_ change: (inout Exporter.Description) -> Void = { _ in }) throws -> (Server, FakeClient)
    {
        var description = Exporter.Description()
        change(&description)
        let server = Server()
        let client = try FakeClient(server) { [description] bus throws(Errno) in try Exporter(description, on: bus) }
        client.enable()
        return (server, client)
    }

    private func file(_ client: FakeClient) throws -> Int32 {
        let reply = try client.request(
            .regionInfo, FakeClient.bytes(UInt32(32), UInt32(0), UInt32(2), UInt32(0), UInt64(0), UInt64(0)))
        return try #require(reply.descriptors.first)
    }

    @Test func itsMemoryIsAFileAndAnswersMessages() throws {
        let (_, client) = try Self.client()
        let file = try file(client)
        defer { close(file) }
        client.write(2, 0xffffc, [1, 2, 3, 4])
        _ = client.receive()
        var bytes = [UInt8](repeating: 0, count: 4)
        #expect(sys_pread(file, &bytes, 4, 0xffffc) == 4 && bytes == [1, 2, 3, 4])
        sys_pwrite(file, [9], 1, 0xffffd)
        #expect(try client.read(2, 0xffffc, 4) == [1, 9, 3, 4])
        // Memory of a device outlives a reset.
        #expect(try client.request(.reset).error == nil)
        client.enable()
        #expect(try client.read(2, 0xffffc, 4) == [1, 9, 3, 4])
    }

    @Test func nobodyChangesTheLengthOfItsMemory() throws {
        let (_, client) = try Self.client()
        let file = try file(client)
        defer { close(file) }
        #expect(ftruncate(file, 0) != 0 && ftruncate(file, 1 << 21) != 0)
    }

    @Test func theDoorbellRaisesAVector() throws {
        let (_, client) = try Self.client { $0.vectors = 3 }
        let events = (0..<3).map { _ in Int32(sys_eventfd(0)) }
        defer { for event in events { close(event) } }
        #expect(try client.setInterrupts(0x24, count: 3, events) == nil)
        for vector in [0, 2, 3, 64, .max] as [UInt32] { client.write(0, 0, FakeClient.bytes(vector)) }
        client.write(0, 4, FakeClient.bytes(UInt32(1)))
        _ = client.receive()
        #expect(events.map { sys_poll($0, Int16(POLLIN)) } == [1, 0, 1])
        #expect(try client.read(0, 0, 4) == [0, 0, 0, 0])
    }

    @Test func itCountsItsResets() throws {
        let (_, client) = try Self.client()
        #expect(try client.read(0, 4, 4) == [0, 0, 0, 0])
        #expect(try client.request(.reset).error == nil)
        client.enable()
        #expect(try client.read(0, 4, 4) == [1, 0, 0, 0])
        // A guest asks by Device Control.
        let express = try #require(
            try stride(from: 0x40, to: 0x100, by: 4).first { try client.read(7, UInt64($0), 1) == [0x10] })
        client.write(7, UInt64(express + 8), FakeClient.bytes(UInt16(0x8000)))
        client.enable()
        #expect(try client.read(0, 4, 4) == [2, 0, 0, 0])
    }

    @Test(arguments: TPHSupport.allCases)
    func itsCompleterIsAsDescribed(_ support: TPHSupport) throws {
        let (_, client) = try Self.client { $0.completer = support }
        let express = try #require(
            try stride(from: 0x40, to: 0x100, by: 4).first { try client.read(7, UInt64($0), 1) == [0x10] })
        let word = try client.read(7, UInt64(express + 0x24), 4)
        #expect(word[1] >> 4 & 3 == support.code)
    }

    @Test func whatCannotBeIsRefused() {
        for size in [0, 1, 2048, 4097, 3 << 20, 1 << 47, .max] as [UInt64] {
            var description = Exporter.Description()
            description.size = size
            #expect(description.refusal != nil)
        }
        var description = Exporter.Description()
        description.size = 1 << 46
        #expect(description.refusal == nil)
        description.vectors = 65
        #expect(description.refusal != nil)
    }
}
