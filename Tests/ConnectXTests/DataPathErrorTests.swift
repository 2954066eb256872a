import Testing
import VFIOUser

@testable import ConnectX

/// How requests fail, and what becomes of their queue pairs.
@Suite struct DataPathErrorTests {
    let left: DataPathDouble
    let right: DataPathDouble

    init() {
        let fabric = Fabric()
        let time = DataPathDouble.Time()
        left = DataPathDouble(fabric: fabric, lid: 1, time: time)
        right = DataPathDouble(fabric: fabric, lid: 2, time: time)
    }

    typealias Piece = PairDouble.Piece

    /// A local key that is wrong in a way; the request ends so, and both queues are flushed.
    @Test(arguments: ["variant", "domain", "bounds", "right", "free", "index", "unmapped"])
    func aLocalKeyThatDoesNotFit(_ fault: String) throws {
        let (a, b) = try PairDouble.connected(left, right)
        let source = left.room(4096)
        let target = right.room(4096)
        let remote = try right.key(target, 4096)
        var local = try left.key(source, 4096) {
            if fault == "domain" { $0[MemoryKeyContext.pd] = 8 }
            if fault == "right" { $0[MemoryKeyContext.lr] = 0 }
            if fault == "free" { $0[MemoryKeyContext.free] = 1 }
        }
        if fault == "variant" { local ^= 1 }
        if fault == "index" { local &+= 0x7f << 8 }
        if fault == "unmapped" { local = try left.key(0xfff_0000, 4096) }
        let at = fault == "unmapped" ? 0xfff_0000 : fault == "bounds" ? source + 1 : source
        a.receive([Piece(address: source, length: 64, key: local)])
        a.write(
            8, PairDouble.body(remote: (target, remote), [], [Piece(address: at, length: 4096, key: local)]), flags: 0)
        a.write(0, [], flags: 0)
        a.ring()
        left.run()
        #expect(a.sent().map(\.syndrome) == [4, 5])
        #expect(a.received().map(\.syndrome) == [5])
        #expect(a.pair?.state == .error && b.pair?.state == .readyToSend)
        #expect(right.bus.peek(target, 1) == [0])
    }

    @Test(
        arguments: ["variant", "domain", "bounds", "wrap", "right", "pair", "bound"],
        [WorkRequestOpcode.write, .read, .fetchAdd])
    func aRemoteKeyThatDoesNotFit(_ fault: String, _ opcode: WorkRequestOpcode) throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let back = left.room(4096)
        let local = try left.key(back, 4096)
        let rights: AccessRights = fault == "right" ? [.localRead, .localWrite] : [.remoteRead, .remoteWrite, .atomic]
        var remote = try right.key(target, 4096, rights) {
            if fault == "domain" { $0[MemoryKeyContext.pd] = 8 }
            if fault == "bound" { $0[MemoryKeyContext.qpn] = 5 }
        }
        if fault == "variant" { remote ^= 1 }
        if fault == "pair" { try b.modify(.rtsToRTS, optional: 2 | 4 | 8) }
        let at = fault == "bounds" ? target + 4096 : fault == "wrap" ? -8 : target
        let operands: [UInt8] = opcode == .fetchAdd ? [UInt8](repeating: 1, count: 16) : []
        b.receive([])
        a.post(
            opcode, PairDouble.body(remote: (at, remote), operands, [Piece(address: back, length: 8, key: local)]))
        right.run()
        #expect(a.sent().map(\.syndrome) == [0x13])
        #expect(b.received().map(\.syndrome) == [5])
        #expect(right.events.events == [.queuePair(.accessError, b.number)])
        #expect(right.bus.peek(target, 8) == [UInt8](repeating: 0, count: 8))
    }

    @Test func anAtomicMustBeAligned() throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let remote = try right.key(target, 4096)
        let back = left.room(4096)
        let local = try left.key(back, 4096)
        let more = [UInt8](repeating: 1, count: 16)
        a.post(
            .fetchAdd,
            PairDouble.body(remote: (target + 4, remote), more, [Piece(address: back, length: 8, key: local)]))
        #expect(a.sent().map(\.syndrome) == [0x12])
        #expect(right.events.events == [.queuePair(.invalidRequest, b.number)])
        #expect(right.bus.peek(target, 16) == [UInt8](repeating: 0, count: 16))
    }

    @Test func aMessageLongerThanItsReceiveRequest() throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let key = try right.key(target, 4096)
        b.receive([Piece(address: target, length: 3, key: key)])
        a.post(.send, PairDouble.inline([1, 2, 3, 4]))
        #expect(a.sent().map(\.syndrome) == [0x12])
        #expect(b.received().map(\.syndrome) == [1])
        #expect(b.pair?.state == .error)
    }

    @Test func aReceiveRequestThatIsNotAllowed() throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        b.receive([Piece(address: target, length: 64, key: try right.key(target, 4096, [.localRead]))])
        a.post(.send, PairDouble.inline([1, 2, 3, 4]))
        #expect(a.sent().map(\.syndrome) == [0x14])
        #expect(b.received().map(\.syndrome) == [4])
    }

    @Test(arguments: [(UInt64(0), 0), (3, 3), (6, 6)])
    func aReceiverThatIsNeverReady(_ retries: UInt64, _ waits: Int) throws {
        let (a, b) = try PairDouble.connected(left, right, receiverRetries: retries)
        a.post(.send, PairDouble.inline([1]))
        // min_rnr_nak 12 is 0.64 ms.
        left.wait(UInt64(waits) * 640_000 - UInt64(min(waits, 1)) * 10_000)
        #expect(a.sent().isEmpty == (waits > 0))
        left.wait(10_000)
        #expect(waits == 0 || a.sent().map(\.syndrome) == [0x16])
        #expect(b.pair?.state == .readyToSend)
    }

    @Test func aReceiverThatIsReadyLater() throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let key = try right.key(target, 4096)
        a.post(.send, PairDouble.inline([1]))
        left.wait(100_000_000)
        #expect(a.sent().isEmpty)
        b.receive([Piece(address: target, length: 3, key: key)])
        left.wait(2_000_000)
        #expect(a.sent().map(\.opcode) == [0] && b.received().map(\.opcode) == [2])
    }

    @Test(arguments: ["reset", "destroyed", "stranger", "port"])
    func nobodyAnswers(_ how: String) throws {
        let (a, b) = try PairDouble.connected(left, right, timeout: 10)
        switch how {
        case "reset": try b.modify(.toReset)
        case "destroyed": try right.path.destroyQueuePair(Int(b.number))
        case "port": right.path.ports[0].isActive = false
        default:
            try a.modify(.toReset)
            try a.connect(try PairDouble(right), timeout: 10)
        }
        a.write(0xa, PairDouble.inline([1]))
        a.ring()
        left.wait(8 * (4096 << 10) - 100)
        #expect(a.sent().isEmpty)
        left.wait(100)
        #expect(a.sent().map(\.syndrome) == [0x15])
    }

    @Test func requestsThatAreNone() throws {
        func end(_ service: QueuePair.Service = .reliable, _ write: (PairDouble) -> Void) throws -> [UInt8] {
            let (a, _) = try PairDouble.connected(left, right, service)
            write(a)
            a.ring()
            left.run()
            return a.sent().map(\.syndrome)
        }
        // An unknown opcode; no units; segments that end within one; a fetch into the entry; one that its service has not.
        #expect(try end { $0.write(0x7f, []) } == [2])
        #expect(try end { $0.write(8, [], units: 0) } == [2])
        #expect(try end { $0.write(8, [], units: 1) } == [2])
        #expect(
            try end { $0.write(0xa, PairDouble.big(UInt32(1 << 31 | 600)) + [UInt8](repeating: 0, count: 12)) } == [2])
        #expect(try end { $0.write(0x10, PairDouble.body(remote: (0, 0), PairDouble.inline([1]))) } == [2])
        #expect(try end(.unreliable) { $0.write(0x10, PairDouble.body(remote: (0, 0))) } == [2])
        // Longer than a message may be: of one segment, of many, of one whose count 0 is the largest.
        let long = Piece(address: 0, length: 0x7fff_ffff, key: 1)
        #expect(try end { $0.write(8, PairDouble.body(remote: (0, 0), [], [long])) } == [1])
        #expect(try end { $0.write(8, PairDouble.body(remote: (0, 0), [], Array(repeating: long, count: 60))) } == [1])
        #expect(try end { $0.write(0xa, Piece(address: 0, length: 0, key: 1).bytes) } == [1])
        #expect(
            try end {
                $0.write(
                    0x12,
                    PairDouble.body(
                        remote: (0, 0), [UInt8](repeating: 0, count: 16), [Piece(address: 0, length: 4, key: 1)]))
            } == [1])
    }

    @Test func aQueuePairThatIsItsOwnPeer() throws {
        let a = try PairDouble(left)
        try a.connect(a)
        let target = left.room(4096)
        let key = try left.key(target, 4096)
        a.receive([Piece(address: target, length: 64, key: key)])
        a.receive([Piece(address: target, length: 1, key: key)])
        a.write(0xa, PairDouble.inline([7]))
        a.write(0xa, PairDouble.inline([8, 9]))
        a.write(0, [])
        a.ring()
        left.run()
        #expect(a.sent().map(\.syndrome) == [0, 0x12, 5])
        #expect(a.received().map(\.syndrome) == [0, 1])
        #expect(left.bus.peek(target, 1) == [7])
    }

    /// An entry that is longer than what was posted would have the queue go round for ever.
    @Test(arguments: [false, true])
    func anEntryDoesNotEndBehindWhatWasPosted(_ isInError: Bool) throws {
        let a = try PairDouble(left)
        try a.connect(nil)
        if isInError { try a.modify(.toError) }
        for start in 0..<16 {
            left.bus.poke(a.sendBuffer + start * 64, [0, 0, 0, 0] + PairDouble.big(a.number << 8 | 8) + [0, 0, 0, 8])
        }
        left.put(UInt32(3), at: a.record + 4)
        a.ring()
        left.run()
        #expect(a.pair?.sendConsumer == 3)
        #expect(a.sent().count == 2)
    }

    /// Nor was more posted than the queue has room for.
    @Test func countersThatAreTooFarAhead() throws {
        let a = try PairDouble(left)
        try a.connect(nil)
        left.put(UInt32(17), at: a.record + 4)
        left.put(UInt32(9), at: a.record)
        a.ring()
        left.run()
        #expect(a.pair?.state == .error)
        #expect(a.sent().isEmpty && a.received().isEmpty)
        #expect(a.pair?.sendConsumer == 17 && a.pair?.receiveConsumer == 9)
    }

    @Test func whatIsPostedInErrorIsFlushed() throws {
        let (a, _) = try PairDouble.connected(left, right)
        try a.modify(.toError)
        left.run()
        a.post(.nop, [])
        #expect(a.sent().map(\.syndrome) == [5])
        // Receive requests ring no doorbell.
        a.receive([])
        left.wait(100_000_000)
        #expect(a.received().map(\.syndrome) == [5])
        try a.modify(.toReset)
        a.posted = 0
        #expect(a.pair?.sendConsumer == 0)
    }

    @Test func transitionsHaveAnOrder() throws {
        let a = try PairDouble(left)
        func status(_ transition: QueuePairTransition) -> CommandStatus {
            do {
                try a.modify(transition)
                return .ok
            } catch { return (error as? CommandFailure)?.status ?? .internalError }
        }
        for transition in [QueuePairTransition.initToRTR, .rtrToRTS, .rtsToRTS, .initToInit, .sendErrorToRTS] {
            #expect(status(transition) == .badQueuePairState)
        }
        #expect(status(.resetToInit) == .ok && status(.resetToInit) == .badQueuePairState)
        #expect(status(.initToInit) == .ok && status(.rtrToRTS) == .badQueuePairState)
        #expect(status(.toError) == .ok && status(.toReset) == .ok && a.pair?.state == .reset)
        #expect(throws: CommandFailure.self) {
            try left.path.modifyQueuePair(999, .toReset, UnsafeRawBufferPointer(start: nil, count: 0), optional: 0)
        }
    }

    @Test func aQueryFindsWhatTransitionsSet() throws {
        let a = try PairDouble(left, .datagram)
        try a.connect(nil)
        try a.modify(.rtsToRTS, optional: 1 << 5) { $0[QueuePairContext.qKey] = 0x2222 }
        let context = try left.path.queryQueuePair(Int(a.number))
        // What a repeated INIT does not name stays.
        let b = try PairDouble(left)
        try b.modify(.resetToInit) {
            $0[QueuePairContext.rwe] = 1
            $0[QueuePairContext.qKey] = 5
        }
        try b.modify(.initToInit, optional: 1 << 5) { $0[QueuePairContext.qKey] = 6 }
        #expect(b.pair?.path.allowsWrite == true && b.pair?.path.queueKey == 6)
        #expect(context[QueuePairContext.state] == 3 && context[QueuePairContext.qKey] == 0x2222)
        #expect(context[QueuePairContext.userIndex] == 0x123 && context[QueuePairContext.rnrRetry] == 7)
    }

    @Test func queuesThatAreNotReached() throws {
        let (a, b) = try PairDouble.connected(left, right)
        left.bus.callsLeft = 0
        a.ring()
        left.run()
        #expect(a.pair?.state == .error)
        #expect(left.events.events.first == .queuePair(.workQueueCatastrophicError, a.number))
        left.bus.callsLeft = nil
        // The responder's completion queue is gone.
        let (c, d) = try PairDouble.connected(left, right)
        right.put(UInt32(1), at: d.record)
        right.bus.callsLeft = 0
        c.post(.send, PairDouble.inline([1]))
        #expect(c.sent().map(\.syndrome) == [0x14])
        #expect(right.events.events.last == .queuePair(.workQueueCatastrophicError, d.number))
        _ = b
    }
}
