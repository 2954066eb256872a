import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

/// What a function reaches of its client's memory, by files and by messages.
@Suite struct DMATests {
    private static func fault(_ body: () throws -> Void) -> DMAFault? {
        do { try body() } catch { return error as? DMAFault }
        return nil
    }

    // MARK: Files

    @Test func memoryLiesInTheFilesThatWereMapped() throws {
        let rig = try Rig()
        let (one, other) = (MemoryFile(65536), MemoryFile(16384))
        #expect(try rig.client.map(0x10000, 0x1000, file: one.descriptor, offset: 0x2000) == nil)
        #expect(try rig.client.map(0x11000, 0x1000, file: other.descriptor) == nil)
        // Out of order, and of a file that is known already.
        #expect(try rig.client.map(0, 0x1000, file: one.descriptor, offset: 0x8000) == nil)
        one[0x2ffe..<0x3000] = [1, 2]
        other[0..<2] = [3, 4]
        var read: [UInt8]?
        _ = rig.work { bus in
            read = try? bus.bytes(0x10ffe, 4)
            _ = try? bus.write(0x10fff, [7, 8])
            _ = try? bus.write(0x800, [9])
        }
        #expect(read == [1, 2, 3, 4])
        #expect(one[0x2ffe..<0x3000] == [1, 7])
        #expect(other[0..<2] == [8, 4])
        #expect(one[0x8800..<0x8801] == [9])
    }

    /// A function's requests can be told by what they are for, whatever address the client has given it.
    @Test func anAddressIsAPlaceInAFile() throws {
        let rig = try Rig()
        let (one, other) = (MemoryFile(65536), MemoryFile(16384))
        #expect(try rig.client.map(0x10000, 0x2000, file: one.descriptor, offset: 0x3000) == nil)
        #expect(try rig.client.map(0x20000, 0x1000, file: other.descriptor) == nil)
        #expect(try rig.client.map(0x30000, 0x1000) == nil)
        let bus = rig.probe.bus
        #expect(bus.place(of: 0x11004) == FilePlace(file: one.identity, offset: 0x4004))
        #expect(bus.place(of: 0x10000) == FilePlace(file: one.identity, offset: 0x3000))
        #expect(bus.place(of: 0x20fff) == FilePlace(file: other.identity, offset: 0xfff))
        // Mapped without a file, and not mapped.
        for address in [0x30000, 0xffff, 0x12000, 0, .max] as [UInt64] { #expect(bus.place(of: address) == nil) }
        _ = try rig.client.unmap(0x10000, 0x2000)
        #expect(bus.place(of: 0x10000) == nil)
        #expect(bus.place(of: 0x20000) == FilePlace(file: other.identity, offset: 0))
    }

    /// One that says how often it was served, and when it has enough.
    private final class Counter: ServedSocket {
        let descriptor: Int32
        let events = Int16(POLLIN)
        var served = 0
        private let most: Int

        init(_ descriptor: Int32, most: Int) { (self.descriptor, self.most) = (descriptor, most) }

        func serve() -> Bool {
            var byte: UInt8 = 0
            _ = Glibc.read(descriptor, &byte, 1)
            served += 1
            return served < most
        }
    }

    /// Who asks what a function sent has an answer before the function goes on.
    @Test func aSocketIsServedWhileAFunctionWaits() throws {
        let rig = try Rig()
        var ends: [Int32] = [-1, -1]
        try #require(socket_pair(&ends) == 0)
        defer { for end in ends { sys_close(end) } }
        let counter = Counter(ends[1], most: 3)
        rig.server.attend(counter)
        #expect(try rig.client.map(0x1000, 0x1000) == nil)
        rig.server.completionTimeout = 1_000_000
        func send() { #expect(Glibc.write(ends[0], [1], 1) == 1) }
        var within = 0
        _ = rig.work { bus in
            send()
            // It waits for the client, which does not answer.
            _ = try? bus.bytes(0x1000, 4)
            within = counter.served
        }
        #expect(within == 1)
        send()
        rig.server.turn(until: 0)
        send()
        rig.server.turn(until: 0)
        #expect(counter.served == 3)
        // It has enough.
        send()
        rig.server.turn(until: 0)
        #expect(counter.served == 3)
    }

    @Test func whatIsNotMappedFaultsAtItsFirstByte() throws {
        let rig = try Rig()
        let file = MemoryFile(65536)
        #expect(try rig.client.map(0x1000, 0x1000, file: file.descriptor) == nil)
        #expect(try rig.client.map(0x3000, 0x1000, file: file.descriptor, flags: 1) == nil)
        #expect(try rig.client.map(0x4000, 0x1000, file: file.descriptor, flags: 2) == nil)
        #expect(try rig.client.map(.max - 0xfff, 0x1000, file: file.descriptor) == nil)
        var faults: [DMAFault?] = []
        _ = rig.work { bus in
            faults = [
                Self.fault { _ = try bus.bytes(0xffe, 4) }, Self.fault { _ = try bus.bytes(0x1ffe, 4) },
                Self.fault { try bus.write(0x3ff0, [1]) }, Self.fault { _ = try bus.bytes(0x4ff0, 1) },
                Self.fault { _ = try bus.bytes(.max - 1, 4) }, Self.fault { _ = try bus.bytes(.max - 1, 2) },
                Self.fault { _ = try bus.bytes(0x3000, 4) }, Self.fault { _ = try bus.bytes(.max, 0) },
            ]
        }
        #expect(
            faults == [
                DMAFault(address: 0xffe, isWrite: false), DMAFault(address: 0x2000, isWrite: false),
                DMAFault(address: 0x3ff0, isWrite: true), DMAFault(address: 0x4ff0, isWrite: false),
                DMAFault(address: 0, isWrite: false), nil, nil, nil,
            ])
    }

    @Test func rangesThatMeetAreRefused() throws {
        let rig = try Rig()
        let file = MemoryFile(65536)
        #expect(try rig.client.map(0x4000, 0x4000, file: file.descriptor) == nil)
        for (address, size) in [(0x4000, 0x4000), (0x3000, 0x2000), (0x7000, 0x2000), (0x5000, 0x1000), (0, 0x10000)]
            as [(UInt64, UInt64)]
        {
            #expect(try rig.client.map(address, size, file: file.descriptor) == "EEXIST")
        }
        #expect(try rig.client.map(0x3000, 0x1000, file: file.descriptor) == nil)
        #expect(try rig.client.map(0x8000, 0x1000, file: file.descriptor) == nil)
    }

    @Test func unmappingEndsAccessAndCounts() throws {
        let rig = try Rig()
        let file = MemoryFile(65536)
        for page in [1, 2, 4] as [UInt64] {
            #expect(try rig.client.map(page << 12, 0x1000, file: file.descriptor, offset: page << 12) == nil)
        }
        #expect(try rig.client.map(0x10000, 0x4000, file: file.descriptor) == nil)
        // A part of a range goes not at all.
        #expect(try rig.client.unmap(0x1000, 0x10000).error == "EINVAL")
        #expect(try rig.client.unmap(0x11000, 0x1000).error == "EINVAL")
        let some = try rig.client.unmap(0x2000, 0x4000)
        #expect(some.payload == FakeClient.bytes(UInt32(24), UInt32(0), UInt64(0x2000), UInt64(0x2000)))
        #expect(try rig.client.unmap(0x2000, 0x4000).number(16, UInt64.self) == 0)
        var faults: [DMAFault?] = []
        _ = rig.work { bus in
            faults = [0x1000, 0x2000, 0x4000].map { address in Self.fault { _ = try bus.bytes(address, 1) } }
        }
        #expect(faults.map { $0 == nil } == [true, false, false])
        #expect(try rig.client.unmap(0, 0, flags: 2).number(16, UInt64.self) == 0x5000)
        _ = rig.work { bus in faults = [Self.fault { _ = try bus.bytes(0x1000, 1) }] }
        #expect(faults == [DMAFault(address: 0x1000, isWrite: false)])
    }

    @Test func aFileThatShrinksIsAFaultAndNoEnd() throws {
        let rig = try Rig()
        let file = MemoryFile(65536)
        #expect(try rig.client.map(0, 65536, file: file.descriptor) == nil)
        sys_ftruncate(file.descriptor, 4096)
        var faults: [DMAFault?] = []
        _ = rig.work { bus in
            faults = [
                Self.fault { _ = try bus.bytes(0x2000, 8) }, Self.fault { try bus.write(0x2000, [1]) },
                Self.fault { _ = try bus.bytes(0, 8) },
            ]
        }
        #expect(faults == [DMAFault(address: 0x2000, isWrite: false), DMAFault(address: 0x2000, isWrite: true), nil])
        // What lies behind its end now cannot be mapped.
        #expect(try rig.client.map(0x10000, 0x1000, file: file.descriptor, offset: 4096) == "EINVAL")
    }

    @Test func aFileThatGrewIsMappedAsItIsNow() throws {
        let rig = try Rig()
        let file = MemoryFile(4096)
        #expect(try rig.client.map(0, 0x1000, file: file.descriptor) == nil)
        sys_ftruncate(file.descriptor, 8192)
        #expect(try rig.client.map(0x1000, 0x1000, file: file.descriptor, offset: 0x1000) == nil)
        _ = rig.work { bus in _ = try? bus.write(0xfff, [5, 6]) }
        #expect(file[0xfff..<0x1001] == [5, 6])
    }

    @Test func aFileThatMayNotBeWrittenIsNot() throws {
        let rig = try Rig()
        let file = MemoryFile(4096)
        let readOnly = open("/proc/self/fd/\(file.descriptor)", O_RDONLY | O_CLOEXEC)
        defer { close(readOnly) }
        #expect(try rig.client.map(0, 0x1000, file: readOnly) == "EACCES")
        #expect(try rig.client.map(0, 0x1000, file: readOnly, flags: 1) == nil)
        file[0..<1] = [3]
        var read: [UInt8]?
        _ = rig.work { bus in read = try? bus.bytes(0, 1) }
        #expect(read == [3])
    }

    @Test func aFunctionThatIsNoMasterReachesNothing() throws {
        let rig = try Rig()
        let file = MemoryFile(4096)
        #expect(try rig.client.map(0, 0x1000, file: file.descriptor) == nil)
        rig.client.enable(2)
        var fault: DMAFault?
        _ = rig.work { bus in fault = Self.fault { _ = try bus.bytes(0, 1) } }
        #expect(fault == DMAFault(address: 0, isWrite: false))
    }

    @Test func rangesAreBounded() throws {
        var memory = GuestMemory()
        for page in 0..<UInt64(GuestMemory.mostRanges) {
            try memory.map(page << 13, size: 4096, isReadable: true, isWritable: true)
        }
        #expect(throws: Errno(ENOSPC)) { try memory.map(1 << 40, size: 4096, isReadable: true, isWritable: true) }
        #expect(memory.range(of: 77 << 13)?.first == 77 << 13)
        #expect(memory.range(of: 77 << 13 | 4096) == nil)
        #expect(try memory.unmap(0, size: 1 << 40) == UInt64(GuestMemory.mostRanges) << 12)
    }

    // MARK: Messages

    private static func asked(_ address: UInt64, _ data: [UInt8]) -> [UInt8] {
        FakeClient.bytes(address, UInt64(data.count)) + data
    }

    @Test func memoryWithoutAFileIsTheClients() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0x1000, 0x1000) == nil)
        var read: [UInt8]?
        rig.start { bus in
            read = try? bus.bytes(0x1234, 4)
            _ = try? bus.write(0x1ffe, [8, 9])
        }
        rig.client.reply(.readDMA, id: 0x8001, Self.asked(0x1234, [1, 2, 3, 4]))
        rig.client.reply(.writeDMA, id: 0x8002, [])
        let asked = rig.client.receive()
        #expect(read == [1, 2, 3, 4])
        #expect(asked.map(\.command) == ["DMA_READ", "DMA_WRITE"])
        #expect(asked.map(\.header.flags) == [0, 0])
        #expect(asked.map(\.header.id) == [0x8001, 0x8002])
        #expect(asked[0].payload == FakeClient.bytes(UInt64(0x1234), UInt64(4)))
        #expect(asked[1].payload == Self.asked(0x1ffe, [8, 9]))
    }

    @Test func aMessageHasNoMoreThanItsClientTakes() throws {
        let rig = try Rig(limits: "{\"capabilities\":{\"max_data_xfer_size\":4,\"migration\":{\"pgsize\":4096}}}")
        #expect(try rig.client.map(0, 0x1000) == nil)
        var read: [UInt8]?
        rig.start { bus in read = try? bus.bytes(0, 10) }
        rig.client.reply(.readDMA, id: 0x8001, Self.asked(0, [0, 1, 2, 3]))
        rig.client.reply(.readDMA, id: 0x8002, Self.asked(4, [4, 5, 6, 7]))
        rig.client.reply(.readDMA, id: 0x8003, Self.asked(8, [8, 9]))
        #expect(rig.client.receive().map { $0.number(8, UInt64.self) } == [4, 4, 2])
        #expect(read == Array(0..<10))
    }

    @Test func theClientIsAnsweredBeforeItIsAskedAndWhileItIs() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        var read: [UInt8]?
        rig.probe.onWork = { [probe = rig.probe] bus in
            probe.onWork = nil
            read = try? bus.bytes(0, 1)
        }
        rig.client.write(0, 0, [1])
        // It asks for three things before it answers.
        rig.client.send(.readRegion, FakeClient.bytes(UInt64(0), UInt32(0), UInt32(1)))
        rig.client.write(0, 8, [2], flags: FakeClient.noReply)
        rig.client.send(.mapDMA, FakeClient.bytes(UInt32(32), UInt32(3), UInt64(0), UInt64(0x5000), UInt64(0x1000)))
        rig.client.reply(.readDMA, id: 0x8001, Self.asked(0, [42]))
        #expect(rig.client.receive().map(\.command) == ["REGION_WRITE", "DMA_READ", "REGION_READ", "DMA_MAP"])
        #expect(read == [42])
        #expect(rig.probe.log == ["write 0 0 1", "read 0 0 1 within work", "write 0 8 1 within work"])
    }

    @Test func aReplyThatIsNoneIsAFault() throws {
        for (payload, error) in [
            ([], 0), ([], EFAULT), (Self.asked(0, [1, 2, 3]), 0), (Self.asked(0, [1, 2, 3, 4, 5]), 0),
            (Self.asked(8, [1, 2, 3, 4]), 0), (FakeClient.bytes(UInt64(0), UInt64(5), UInt32(0)), 0),
        ] as [([UInt8], Int32)] {
            let rig = try Rig()
            #expect(try rig.client.map(0, 0x1000) == nil)
            var fault: DMAFault?
            rig.start { bus in fault = Self.fault { _ = try bus.bytes(0, 4) } }
            rig.client.reply(.readDMA, id: 0x8001, payload, error: error)
            _ = rig.client.receive()
            #expect(fault == DMAFault(address: 0, isWrite: false), "\(payload) \(error)")
        }
    }

    @Test func repliesThatNobodyWaitsForAreDropped() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        rig.client.reply(.readDMA, id: 0x8001, Self.asked(0, [6]))
        #expect(rig.client.receive().isEmpty)
        var read: [UInt8]?
        rig.start { bus in read = try? bus.bytes(0, 1) }
        // Others first: of a later one, of another kind, of a request of the client's own.
        rig.client.reply(.readDMA, id: 0x8002, Self.asked(0, [7]))
        rig.client.reply(.writeDMA, id: 0x8001, [])
        rig.client.reply(.readDMA, id: 1, Self.asked(0, [7]))
        rig.client.reply(.readDMA, id: 0x8001, Self.asked(0, [8]))
        rig.client.reply(.readDMA, id: 0x8001, Self.asked(0, [9]))
        #expect(rig.client.receive().count == 1)
        #expect(read == [8])
        #expect(try rig.client.read(7, 0, 2) == [0xf4, 0x1a])
    }

    @Test func aResetEndsAWaitAndComesAfterIt() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        var faults: [DMAFault?] = []
        rig.start { bus in
            for address in [0, 8] as [UInt64] { faults.append(Self.fault { try bus.write(address, [1]) }) }
        }
        rig.client.send(.reset)
        // Too late.
        rig.client.reply(.writeDMA, id: 0x8001, [])
        #expect(rig.client.receive().map(\.command) == ["DMA_WRITE", "DEVICE_RESET"])
        #expect(faults == [DMAFault(address: 0, isWrite: true), DMAFault(address: 8, isWrite: true)])
        #expect(rig.probe.log == ["write 0 0 1", "reset"])
    }

    @Test func functionLevelResetEndsAWaitToo() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        let express = try #require(
            stride(from: 0x40, to: 0x100, by: 4).first { rig.probe.configuration.get($0, 1) == 0x10 })
        var fault: DMAFault?
        rig.start { bus in fault = Self.fault { try bus.write(0, [1]) } }
        rig.client.write(7, UInt64(express + 8), FakeClient.bytes(UInt16(0x8000)))
        #expect(rig.client.receive().map(\.command) == ["DMA_WRITE", "REGION_WRITE"])
        #expect(fault == DMAFault(address: 0, isWrite: true))
        #expect(rig.probe.log == ["write 0 0 1", "reset"])
    }

    @Test func aClientThatLeavesEndsAWait() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        var fault: DMAFault?
        rig.start { bus in fault = Self.fault { try bus.write(0, [1]) } }
        rig.client.leave()
        rig.server.turn(until: 0)
        #expect(fault == DMAFault(address: 0, isWrite: true))
        #expect(!rig.server.isConnected)
    }

    @Test func aClientThatDoesNotAnswerIsNotAskedAgainUntilItDoes() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        rig.server.completionTimeout = 0
        var faults: [DMAFault?] = []
        let asked = rig.work { bus in
            for address in [0, 8] as [UInt64] { faults.append(Self.fault { try bus.write(address, [1]) }) }
        }
        #expect(asked.map(\.command) == ["DMA_WRITE"])
        #expect(faults == [DMAFault(address: 0, isWrite: true), DMAFault(address: 8, isWrite: true)])
        rig.server.completionTimeout = .max / 2
        rig.client.reply(.writeDMA, id: 0x8002, [])
        #expect(rig.work { bus in faults = [Self.fault { try bus.write(0, [1]) }] }.isEmpty)
        #expect(faults == [DMAFault(address: 0, isWrite: true)])
        // Late, but there.
        rig.client.reply(.writeDMA, id: 0x8001, [])
        rig.start { bus in faults = [Self.fault { try bus.write(0, [1]) }] }
        rig.client.reply(.writeDMA, id: 0x8002, [])
        #expect(rig.client.receive().map(\.command) == ["DMA_WRITE"])
        #expect(faults == [nil])
    }

    @Test func whatAClientMayKeepOthersWaitingHasALimit() {
        let (ordinary, allowance) = (WaitAllowance.ordinary, 1_000_000_000 as UInt64)
        var waitAllowance = WaitAllowance()
        waitAllowance.begin()
        #expect(waitAllowance.left(of: allowance, at: 0) == allowance)
        // What is ordinary in one call of work is not counted, in many calls either.
        for _ in 0..<100 {
            waitAllowance.begin()
            waitAllowance.spend(ordinary)
        }
        #expect(waitAllowance.left(of: allowance, at: 0) == allowance)
        waitAllowance.spend(allowance - 10)
        #expect(waitAllowance.left(of: allowance, at: 0) == 10)
        waitAllowance.spend(.max)
        #expect(waitAllowance.left(of: allowance, at: 0) == 0)
        waitAllowance.begin()
        #expect(waitAllowance.left(of: allowance, at: 0) == ordinary)
        // A tenth of the time that passes comes back.
        waitAllowance = WaitAllowance()
        waitAllowance.begin()
        waitAllowance.spend(ordinary + allowance)
        #expect(waitAllowance.left(of: allowance, at: 0) == 0)
        #expect(waitAllowance.left(of: allowance, at: 1_000) == 100)
        #expect(waitAllowance.left(of: allowance, at: 2_000) == 200)
        #expect(waitAllowance.left(of: allowance, at: .max) == allowance)
    }

    @Test func aClientThatHasUsedItsTimeIsWaitedForNoMore() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        let port = try #require(rig.server.ports.first)
        var fault: DMAFault?
        let asked = rig.work { bus in
            port.waitAllowance.spend(.max)
            fault = Self.fault { try bus.write(0, [1]) }
        }
        #expect(asked.map(\.command) == ["DMA_WRITE"])
        #expect(fault == DMAFault(address: 0, isWrite: true))
    }

    @Test func nobodyIsAskedWhileAReplyIsOwed() throws {
        let rig = try Rig()
        #expect(try rig.client.map(0, 0x1000) == nil)
        // Not within work: from a write, say.
        #expect(Self.fault { _ = try rig.probe.bus.bytes(0, 1) } == DMAFault(address: 0, isWrite: false))
        #expect(rig.client.receive().isEmpty)
    }
}
