import Testing
import VFIOUser

@testable import ConnectX

/// Shared receive queues, datagrams, and completion queues.
@Suite struct DataPathQueueTests {
    let left: DataPathDouble
    let right: DataPathDouble
    let fabric = Fabric()

    init() {
        let time = DataPathDouble.Time()
        left = DataPathDouble(fabric: fabric, lid: 1, time: time)
        right = DataPathDouble(fabric: fabric, lid: 2, time: time)
    }

    typealias Piece = PairDouble.Piece

    // MARK: Shared receive queues

    /// A list of 2^log entries of 64 bytes, as a driver makes one: each names the next.
    final class Shared {
        let nic: DataPathDouble
        let number: Int
        let buffer: Int
        let record: Int
        var head = 0
        var posted: UInt16 = 0
        /// Entries follow each other and name no next one.
        let isCyclic: Bool
        let count: Int

        init(
            _ nic: DataPathDouble, _ kind: SharedReceiveQueue.Kind, log: Int = 3,
            domain: UInt32 = DataPathDouble.domain, completions: UInt32 = 0, isCyclic: Bool = false
        ) throws {
            self.isCyclic = isCyclic
            count = 1 << log
            self.nic = nic
            buffer = nic.room(64 << log)
            record = nic.room(8)
            for entry in 0..<1 << log { nic.put(UInt16((entry + 1) % (1 << log)), at: buffer + entry * 64 + 2) }
            var context = [UInt8](repeating: 0, count: kind == .pool ? 240 : 64)
            switch kind {
            case .pool:
                context[ReceiveMemoryPoolContext.wqType] = isCyclic ? 1 : 0
                context[ReceiveMemoryPoolContext.logWqSz] = UInt64(log)
                context[ReceiveMemoryPoolContext.logWqStride] = 6
                context[ReceiveMemoryPoolContext.pd] = UInt64(domain)
                context[ReceiveMemoryPoolContext.dbrAddr] = UInt64(record)
            case .xrc:
                context[XRCSharedReceiveQueueContext.logXrcSrqSize] = UInt64(log)
                context[XRCSharedReceiveQueueContext.logRqStride] = 2
                context[XRCSharedReceiveQueueContext.pd] = UInt64(domain)
                context[XRCSharedReceiveQueueContext.xrcd] = 9
                context[XRCSharedReceiveQueueContext.cqn] = UInt64(completions)
                context[XRCSharedReceiveQueueContext.userIndex] = 0x777
                context[XRCSharedReceiveQueueContext.dbRecordAddrL] = UInt64(record >> 2)
            case .shared:
                context[SharedReceiveQueueContext.logSrqSize] = UInt64(log)
                context[SharedReceiveQueueContext.logRqStride] = 2
                context[SharedReceiveQueueContext.pd] = UInt64(domain)
                context[SharedReceiveQueueContext.dbrAddr] = UInt64(record)
            }
            let pages = nic.pageList(buffer, 64 << log)
            number = try context.withUnsafeBytes { context in
                try pages.withUnsafeBytes { try nic.path.createReceiveQueue(kind, context, list: $0) }
            }
        }

        func post(_ piece: Piece) {
            let place = buffer + head * 64
            let end = PairDouble.big(UInt32(0)) + PairDouble.big(SpecialKey.terminator)
            nic.bus.poke(place + (isCyclic ? 0 : 16), piece.bytes + end)
            head = isCyclic ? (head + 1) % count : Int(nic.word(place) & 0xffff)
            posted &+= 1
            nic.put(UInt32(posted), at: record)
        }

        /// Puts an entry back at the end of the list.
        func free(_ index: UInt16, after last: UInt16) { nic.put(index, at: buffer + Int(last) * 64 + 2) }
    }

    @Test(arguments: [SharedReceiveQueue.Kind.shared, .pool])
    func queuePairsShareAReceiveQueue(_ kind: SharedReceiveQueue.Kind) throws {
        let shared = try Shared(right, kind)
        let memory = right.room(4096)
        let key = try right.key(memory, 4096)
        func pair() throws -> (PairDouble, PairDouble) {
            let a = try PairDouble(left)
            let b = try PairDouble(right) {
                $0[QueuePairContext.rqType] = 1
                $0[QueuePairContext.srqn] = UInt64(shared.number)
            }
            try a.connect(b)
            try b.connect(a)
            return (a, b)
        }
        let (a, b) = try pair()
        let (c, d) = try pair()
        for index in 0..<3 { shared.post(Piece(address: memory + index * 64, length: 64, key: key)) }
        try right.path.armReceiveQueue(shared.number, kind, limit: 2)
        a.post(.send, PairDouble.inline([1]))
        #expect(right.events.events.isEmpty)
        c.post(.send, PairDouble.inline([2]))
        #expect(right.events.events == [.sharedReceiveQueue(.receiveLimit, UInt32(shared.number))])
        a.post(.send, PairDouble.inline([3]))
        #expect(b.received().map(\.counter) == [0, 2] && d.received().map(\.counter) == [1])
        #expect(
            right.bus.peek(memory, 1) + right.bus.peek(memory + 64, 1) + right.bus.peek(memory + 128, 1) == [1, 2, 3])
        #expect(right.events.events.count == 1)
        // Entries come back in another order than they were taken.
        for (index, last) in [(UInt16(1), UInt16(7)), (2, 1), (0, 2)] { shared.free(index, after: last) }
        for index in 0..<7 { shared.post(Piece(address: memory + 1024 + index, length: 1, key: key)) }
        for index in 0..<7 { a.post(.send, PairDouble.inline([UInt8(10 + index)])) }
        #expect(b.received().map(\.counter) == [3, 4, 5, 6, 7, 1, 2])
        #expect(right.bus.peek(memory + 1024, 7) == [10, 11, 12, 13, 14, 15, 16])
        try b.modify(.toError)
        #expect(right.events.events.last == .queuePair(.lastWorkRequestReached, b.number))
        #expect(throws: CommandFailure.self) { try right.path.destroyReceiveQueue(shared.number, kind) }
        try right.path.destroyQueuePair(Int(b.number))
        try right.path.destroyQueuePair(Int(d.number))
        try right.path.destroyReceiveQueue(shared.number, kind)
    }

    @Test func aListThatLeavesItsQueueOrCycles() throws {
        let shared = try Shared(right, .shared)
        let memory = right.room(4096)
        let key = try right.key(memory, 4096)
        let a = try PairDouble(left)
        let b = try PairDouble(right) {
            $0[QueuePairContext.rqType] = 1
            $0[QueuePairContext.srqn] = UInt64(shared.number)
        }
        try a.connect(b)
        try b.connect(a)
        for _ in 0..<3 { shared.post(Piece(address: memory, length: 64, key: key)) }
        // The first names itself, as often as requests were posted.
        right.put(UInt16(0), at: shared.buffer + 2)
        for _ in 0..<3 { a.post(.send, PairDouble.inline([1])) }
        #expect(b.received().map(\.counter) == [0, 0, 0])
        a.post(.send, PairDouble.inline([1]))
        #expect(a.sent().count == 3)
        right.put(UInt32(4), at: shared.record)
        right.put(UInt16(8), at: shared.buffer + 2)
        left.wait(2_000_000)
        #expect(a.sent().map(\.syndrome) == [0x14])
        #expect(
            right.events.events.contains(
                .sharedReceiveQueue(.sharedReceiveQueueCatastrophicError, UInt32(shared.number))))
    }

    @Test func xrcGoesToTheQueueThatItNames() throws {
        let completions = try right.completionQueue()
        var heard = completions
        let queue = try Shared(right, .xrc, domain: 20, completions: completions.number)
        let memory = right.room(4096)
        let key = try right.key(memory, 4096) { $0[MemoryKeyContext.pd] = 20 }
        let a = try PairDouble(left, .xrc) { $0[QueuePairContext.rqType] = 3 }
        let b = try PairDouble(right, .xrc, domain: 1) {
            $0[QueuePairContext.rqType] = 3
            $0[QueuePairContext.xrcd] = 9
        }
        try a.connect(b)
        try b.connect(a)
        queue.post(Piece(address: memory, length: 64, key: key))
        let xrc = PairDouble.big(UInt32(queue.number)) + [UInt8](repeating: 0, count: 12)
        a.post(.send, xrc + PairDouble.inline([5]))
        a.post(.write, xrc + PairDouble.body(remote: (memory + 100, key), PairDouble.inline([6])))
        #expect(a.sent().map(\.opcode) == [0, 0])
        let end = right.polls(&heard)
        #expect(end.map(\.index) == [0x777] && end.first?.queuePair == b.number)
        #expect(right.bus.peek(memory, 1) == [5] && right.bus.peek(memory + 100, 1) == [6])
        a.post(
            .send, PairDouble.big(UInt32(queue.number + 1)) + [UInt8](repeating: 0, count: 12) + PairDouble.inline([5]))
        #expect(a.sent().map(\.syndrome) == [0x14])
        #expect(right.events.events == [.queuePair(.invalidRequest, b.number)])
    }

    // MARK: Datagrams

    private func datagramPair(_ nic: DataPathDouble, _ service: QueuePair.Service = .datagram) throws -> PairDouble {
        let pair = try PairDouble(nic, service)
        try pair.connect(nil)
        return pair
    }

    @Test(arguments: [false, true])
    func datagramsArriveBehindRoomForARouteHeader(_ hasRoute: Bool) throws {
        let (a, b) = (try datagramPair(left), try datagramPair(right))
        let memory = right.room(4096)
        right.fill(memory, 200)
        let key = try right.key(memory, 4096)
        b.receive([Piece(address: memory, length: 200, key: key)])
        let gid = hasRoute ? right.path.ports[0].gids[0] : nil
        a.post(.sendImmediate, PairDouble.vector(b, gid: gid) + PairDouble.inline([1, 2, 3]), immediate: 9)
        #expect(a.sent().map(\.opcode) == [0])
        let end = b.received()
        #expect(end.map(\.bytes) == [43] && end.first?.source == a.number && end.first?.lid == 1)
        #expect(end.first?.hasRoute == hasRoute && end.first?.immediate == 9)
        #expect(right.bus.peek(memory + 40, 3) == [1, 2, 3])
        if hasRoute {
            #expect(right.bus.peek(memory, 8) == [0x62, 0x11, 0x23, 0x45, 0, 32, 0x1b, 0x40])
            #expect(
                right.bus.peek(memory + 8, 32) == [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1, 0xfe, 0x80]
                    + [UInt8](repeating: 0, count: 13) + [2])
        }
    }

    @Test func datagramsThatNobodyTakesAreDropped() throws {
        let (a, b) = (try datagramPair(left), try datagramPair(right))
        let memory = right.room(8192)
        let key = try right.key(memory, 8192)
        let one = PairDouble.inline([1])
        a.post(.send, PairDouble.vector(b) + one)
        b.receive([Piece(address: memory, length: 100, key: key)])
        a.post(.send, PairDouble.vector(b, key: 0x1112) + one)
        a.post(.send, PairDouble.vector(b, number: 0xff_fff0) + one)
        #expect(a.sent().map(\.opcode) == [0, 0, 0] && b.received().isEmpty)
        // With the highest bit the sender's own key counts.
        a.post(.send, PairDouble.vector(b, key: 0x8000_0000) + one)
        #expect(b.received().count == 1)
        let local = left.room(8192)
        let source = Piece(address: local, length: 4097, key: try left.key(local, 8192))
        a.post(.send, PairDouble.vector(b) + source.bytes)
        #expect(a.sent().map(\.syndrome) == [0, 1] && a.pair?.state == .sendError)
        a.post(.nop, [])
        #expect(a.sent().map(\.syndrome) == [5])
        try a.modify(.sendErrorToRTS)
        a.post(.nop, [])
        #expect(a.sent().map(\.opcode) == [0])
        // Longer than the receive request.
        b.receive([Piece(address: memory, length: 40, key: key)])
        a.post(.send, PairDouble.vector(b) + one)
        #expect(b.received().map(\.syndrome) == [1])
    }

    @Test func managementAndGroups() throws {
        let services = try datagramPair(right, .generalServices)
        let memory = right.room(4096)
        let key = try right.key(memory, 4096)
        services.receive([Piece(address: memory, length: 300, key: key)])
        let a = try PairDouble(left) { $0[QueuePairContext.st] = 2 }
        try a.connect(nil)
        a.post(.send, PairDouble.vector(services, number: 1) + PairDouble.inline([4]))
        #expect(services.received().map(\.immediate) == [0xffff])
        let group = GID(high: 0xff12 << 48, low: 5)
        let members = try (0..<3).map { _ in try datagramPair(right) }
        for member in members { member.receive([Piece(address: memory, length: 300, key: key)]) }
        for member in members.prefix(2) { try right.path.attach(Int(member.number), to: group) }
        var vector = PairDouble.vector(members[0], number: 0xff_ffff, gid: group)
        vector.replaceSubrange(14..<16, with: [0xc0, 1])
        a.post(.send, vector + PairDouble.inline([4]))
        #expect(members.map { $0.received().count } == [1, 1, 0])
        try right.path.detach(Int(members[0].number), from: group)
        #expect(throws: CommandFailure.self) { try right.path.detach(Int(members[0].number), from: group) }
        try right.path.destroyQueuePair(Int(members[1].number))
        #expect(right.path.multicast.isEmpty)
    }

    // MARK: Completion queues

    @Test func aQueueThatOverruns() throws {
        let a = try PairDouble(left, cqLog: 2)
        try a.connect(nil)
        for _ in 0..<5 { a.write(0, []) }
        a.ring()
        left.run()
        #expect(left.events.events.first == .completionQueueError(a.sendCompletions.number, syndrome: 1))
        #expect(a.pair?.state == .error)
        #expect(left.path.completionQueues[a.sendCompletions.number]?.isBroken == true)
        #expect(a.sent().count == 4)
    }

    @Test func aQueueThatBreaksEndsThoseWhoReportToIt() throws {
        let a = try PairDouble(left, cqLog: 2)
        let b = try PairDouble(left)
        let c = try PairDouble(left) { $0[QueuePairContext.cqnSnd] = UInt64(a.sendCompletions.number) }
        let d = try PairDouble(left) { $0[QueuePairContext.cqnSnd] = UInt64(a.sendCompletions.number) }
        for pair in [a, b, c, d] { try pair.connect(nil) }
        try left.path.destroyQueuePair(Int(d.number))
        #expect(left.path.completionQueues[a.sendCompletions.number]?.reporters == [a.number, c.number])
        for _ in 0..<5 { a.write(0, []) }
        a.ring()
        left.run()
        #expect(a.pair?.state == .error && c.pair?.state == .error && b.pair?.state == .readyToSend)
    }

    @Test func aQueueThatIsRead() throws {
        let a = try PairDouble(left, cqLog: 2, cqSize: 128)
        try a.connect(nil)
        for _ in 0..<100 {
            a.post(.nop, [])
            #expect(a.sent().count == 1)
        }
        #expect(left.events.events.isEmpty)
    }

    @Test func aQueueOfAnotherSize() throws {
        let a = try PairDouble(left, cqLog: 3)
        try a.connect(nil)
        for _ in 0..<11 {
            a.post(.nop, [])
            #expect(a.sent().count == 1)
        }
        a.post(.nop, [])
        let buffer = left.room(64 << 5)
        for entry in 0..<32 { left.bus.poke(buffer + entry * 64 + 63, [0xf1]) }
        var context = [UInt8](repeating: 0, count: 64)
        context[CompletionQueueContext.logCqSize] = 5
        let pages = left.pageList(buffer, 64 << 5)
        try context.withUnsafeBytes { context in
            try pages.withUnsafeBytes {
                try left.path.modifyCompletionQueue(Int(a.sendCompletions.number), select: 7, context, list: $0)
            }
        }
        // The old buffer ends with an entry that counts; the new one goes on behind it.
        #expect(a.sent().map(\.opcode) == [0, 5])
        let old = a.sendCompletions
        a.sendCompletions = DataPathDouble.Queue(
            number: old.number, buffer: buffer, record: old.record, log: 5, size: 64, consumer: 13)
        for _ in 0..<70 {
            a.post(.nop, [])
            #expect(a.sent().map(\.opcode) == [0])
        }
        #expect(throws: CommandFailure.self) {
            try context.withUnsafeBytes {
                try left.path.modifyCompletionQueue(
                    Int(old.number), select: 7, $0, list: UnsafeRawBufferPointer(start: nil, count: 0))
            }
        }
    }

    @Test func eventsAreModerated() throws {
        let a = try PairDouble(left)
        try a.connect(nil)
        var context = [UInt8](repeating: 0, count: 64)
        context[CompletionQueueContext.cqMaxCount] = 3
        context[CompletionQueueContext.cqPeriod] = 16
        try context.withUnsafeBytes {
            try left.path.modifyCompletionQueue(Int(a.sendCompletions.number), select: 3, $0, list: nil)
        }
        left.path.armCompletionQueue(a.sendCompletions.number, 0)
        a.post(.nop, [])
        a.post(.nop, [])
        #expect(left.events.completions.isEmpty)
        a.post(.nop, [])
        #expect(left.events.completions.count == 1)
        left.path.armCompletionQueue(a.sendCompletions.number, 1 << 28 | 3)
        a.post(.nop, [])
        left.wait(15_999)
        #expect(left.events.completions.count == 1)
        left.wait(1)
        #expect(left.events.completions.count == 2)
    }

    @Test func aQueueInUseStays() throws {
        let a = try PairDouble(left)
        #expect(throws: CommandFailure.self) { try left.path.destroyCompletionQueue(Int(a.sendCompletions.number)) }
        try left.path.destroyQueuePair(Int(a.number))
        try left.path.destroyCompletionQueue(Int(a.sendCompletions.number))
        #expect(throws: CommandFailure.self) { try left.path.destroyCompletionQueue(Int(a.sendCompletions.number)) }
        #expect(throws: CommandFailure.self) { try left.completionQueue { $0[CompletionQueueContext.logCqSize] = 23 } }
    }

    @Test func aLongMessageIsDoneInTurns() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let (c, _) = try PairDouble.connected(left, right)
        // A page over and over: 200 MB.
        let memory = left.room(4096)
        let far = right.room(4096)
        let pages = Array(repeating: UInt64(memory), count: 50_000)
        let local = try left.key(left.keyContext(start: 0, length: 200_000_000, entries: 50_000), pages)
        let remote = try right.key(
            right.keyContext(start: 0, length: 200_000_000, entries: 50_000),
            Array(repeating: UInt64(far), count: 50_000))
        a.write(8, PairDouble.body(remote: (0, remote), [], [Piece(address: 0, length: 200_000_000, key: local)]))
        c.write(0, [])
        a.ring()
        c.ring()
        left.path.work()
        // The other's turn has come, and this one is not at its end.
        #expect(c.sent().count == 1 && a.sent().isEmpty && left.path.hasWork)
        try a.modify(.toError)
        left.run()
        #expect(a.sent().map(\.syndrome) == [5])
    }
}
