import CKernel
import Kernel
import Testing

@testable import VFIOUser

/// Functions of one server, and what they reach of each other.
@Suite struct PeerTests {
    /// Two functions: one that asks, and one with memory and registers at 0xfe000000 and 0xfd000000.
    private struct Pair {
        let server = Server()
        let client, other: FakeClient
        let requester, exporter: Probe
        let file = MemoryFile(65536)

        init(below one: Int?, _ two: Int?, memory: Bool = true) throws {
            var made: [Probe] = []
            func make(_ bus: any PCIBus) -> any PCIFunction {
                let probe = Probe(bus)
                made.append(probe)
                return probe
            }
            client = try FakeClient(server, upstream: one, make)
            other = try FakeClient(server, upstream: two, make)
            (requester, exporter) = (made[0], made[1])
            if memory { exporter.file = file.descriptor }
            exporter.fileSize = 65536
            exporter.registers = [UInt8](repeating: 0, count: 65536)
            client.enable()
            other.write(7, 0x10, FakeClient.bytes(UInt32(0xfd00_0000)))
            other.write(7, 0x18, FakeClient.bytes(UInt32(0xfe00_0000)))
            other.enable()
        }

        /// What one write gave.
        func write(_ address: UInt64, _ bytes: [UInt8]) -> DMAFault? {
            var fault: DMAFault?
            requester.onWork = { bus in
                do throws(DMAFault) { try bus.write(address, bytes) } catch { fault = error }
            }
            client.write(0, 0, [1], flags: FakeClient.noReply)
            _ = client.receive()
            requester.onWork = nil
            return fault
        }
    }

    @Test func aSwitchPassesRequestsOnByBusAddress() throws {
        let pair = try Pair(below: 1, 1)
        #expect(pair.write(0xfe00_fffe, [1, 2]) == nil)
        #expect(pair.file[0xfffe..<0x10000] == [1, 2])
        #expect(pair.exporter.log.isEmpty)
        #expect(pair.write(0xfe00_fffe, [1, 2, 3]) == DMAFault(address: 0xfe01_0000, isWrite: true))
        pair.file[4..<6] = [8, 9]
        var read: [UInt8]?
        pair.requester.onWork = { bus in read = try? bus.bytes(0xfe00_0004, 2) }
        pair.client.write(0, 0, [1])
        _ = pair.client.receive()
        #expect(read == [8, 9])
    }

    @Test func registersOfAPeerAreWrittenAndItWorks() throws {
        let pair = try Pair(below: 1, 1, memory: false)
        var worked = 0
        pair.exporter.onWork = { _ in worked += 1 }
        #expect(pair.write(0xfd00_0010, [1, 2, 3, 4]) == nil)
        #expect(pair.write(0xfe00_0010, [5]) == nil)
        #expect(pair.exporter.log == ["write 0 16 4", "write 2 16 1"])
        #expect(worked > 0)
    }

    @Test func aSwitchComesBeforeWhatIsMapped() throws {
        let pair = try Pair(below: 1, 1)
        let memory = MemoryFile(65536)
        #expect(try pair.client.map(0xfe00_0000, 0x1000, file: memory.descriptor) == nil)
        #expect(pair.write(0xfe00_0000, [7]) == nil)
        #expect(pair.file[0..<1] == [7] && memory[0..<1] == [0])
    }

    @Test(arguments: [(nil, nil), (1, 2), (nil, 1), (1, nil)] as [(Int?, Int?)])
    func elsewhereOnlyWhatIsMappedIsReached(_ one: Int?, _ two: Int?) throws {
        let pair = try Pair(below: one, two)
        #expect(pair.write(0xfe00_0000, [7]) == DMAFault(address: 0xfe00_0000, isWrite: true))
        #expect(pair.file[0..<1] == [0])
    }

    @Test func aPeerThatDoesNotDecodeIsNotThere() throws {
        let pair = try Pair(below: 1, 1)
        let fault = DMAFault(address: 0xfe00_0000, isWrite: true)
        pair.other.enable(4)
        #expect(pair.write(0xfe00_0000, [7]) == fault)
        pair.other.enable(2)
        #expect(pair.write(0xfe00_0000, [7]) == nil)
        let power = try #require(
            stride(from: 0x40, to: 0x100, by: 4).first { pair.exporter.configuration.get($0, 1) == 0x01 })
        pair.other.write(7, UInt64(power + 4), [3])
        _ = pair.other.receive()
        #expect(pair.write(0xfe00_0000, [7]) == fault)
        pair.other.write(7, UInt64(power + 4), [0])
        pair.other.write(7, 0x18, FakeClient.bytes(UInt32(0xf000_0000)))
        _ = pair.other.receive()
        #expect(pair.write(0xfe00_0000, [7]) == fault)
        #expect(pair.write(0xf000_0001, [6]) == nil)
        #expect(try pair.other.request(.reset).error == nil)
        #expect(pair.write(0xf000_0001, [6]) == DMAFault(address: 0xf000_0001, isWrite: true))
        pair.other.enable()
        // Its client still has it there.
        #expect(pair.write(0xf000_0001, [6]) == nil)
        pair.other.leave()
        pair.server.turn(until: 0)
        #expect(pair.write(0xf000_0001, [6]) == DMAFault(address: 0xf000_0001, isWrite: true))
    }

    @Test func allClientsAreAnsweredWhileOneIsWaitedFor() throws {
        let pair = try Pair(below: nil, nil)
        #expect(try pair.client.map(0, 0x1000) == nil)
        var log: [String]?
        pair.requester.onWork = { [requester = pair.requester, exporter = pair.exporter] bus in
            requester.onWork = nil
            _ = try? bus.bytes(0, 1)
            log = exporter.log
        }
        pair.client.write(0, 0, [1], flags: FakeClient.noReply)
        pair.other.send(.reset)
        pair.other.send(.readRegion, FakeClient.bytes(UInt64(0), UInt32(7), UInt32(2)))
        // The first one never answers: it leaves.
        pair.client.leave()
        #expect(pair.other.receive().map(\.command) == ["DEVICE_RESET", "REGION_READ"])
        #expect(log == ["reset"])
    }
}
