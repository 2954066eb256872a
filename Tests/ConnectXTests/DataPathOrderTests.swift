import Testing

@testable import ConnectX

/// How a request ends of which several things are wrong. A requester reads its own memory before it sends anything, and writes
/// to it only when a response has come; a responder looks for a receive request before it looks at a key.
@Suite struct DataPathOrderTests {
    let left: DataPathDouble
    let right: DataPathDouble
    /// Memory of both sides, and their keys.
    let source: (address: Int, key: UInt32)
    let target: (address: Int, key: UInt32)

    typealias Piece = PairDouble.Piece

    init() throws {
        let fabric = Fabric()
        let time = DataPathDouble.Time()
        left = DataPathDouble(fabric: fabric, lid: 1, time: time)
        right = DataPathDouble(fabric: fabric, lid: 2, time: time)
        let (here, there) = (left.room(0x2_0000), right.room(0x2_0000))
        source = (here, try left.key(here, 0x2_0000))
        target = (there, try right.key(there, 0x2_0000))
    }

    /// A request of some bytes to the other side's memory, by keys that are right or not.
    func body(
        _ opcode: WorkRequestOpcode, _ length: Int = 8, isLocalGood: Bool = true, isRemoteGood: Bool = true
    ) -> [UInt8] {
        let operands: [UInt8] = opcode.isAtomic ? PairDouble.big(UInt64(5)) + PairDouble.big(UInt64(0)) : []
        return PairDouble.body(
            remote: opcode.isSend ? nil : (target.address, isRemoteGood ? target.key : target.key ^ 1), operands,
            [Piece(address: source.address, length: length, key: isLocalGood ? source.key : source.key ^ 1)])
    }

    @Test(arguments: [WorkRequestOpcode.write, .send], [QueuePair.Service.reliable, .unreliable])
    func ownMemoryIsReadFirst(_ opcode: WorkRequestOpcode, _ service: QueuePair.Service) throws {
        for isThere in [true, false] {
            let (a, b) = try PairDouble.connected(left, right, service, receiverRetries: 1, timeout: 1)
            if !isThere { try b.modify(.toReset) }
            a.post(opcode, body(opcode, isLocalGood: false, isRemoteGood: false))
            left.wait(1_000_000_000)
            #expect(a.sent().map(\.syndrome) == [4])
            #expect(a.pair?.state == (service == .reliable ? .error : .sendError))
        }
    }

    @Test(arguments: [WorkRequestOpcode.read, .fetchAdd])
    func ownMemoryIsWrittenWhenTheResponseComes(_ opcode: WorkRequestOpcode) throws {
        let (a, b) = try PairDouble.connected(left, right, timeout: 1)
        a.post(opcode, body(opcode, isLocalGood: false, isRemoteGood: false))
        #expect(a.sent().map(\.syndrome) == [0x13] && b.pair?.state == .error)
        let (c, d) = try PairDouble.connected(left, right, timeout: 1)
        c.post(opcode, body(opcode, isLocalGood: false))
        #expect(c.sent().map(\.syndrome) == [4] && d.pair?.state == .readyToSend)
        // Fetched and changed it was.
        #expect(right.bus.peek(target.address, 8) == [opcode == .fetchAdd ? 5 : 0, 0, 0, 0, 0, 0, 0, 0])
        let (e, f) = try PairDouble.connected(left, right, timeout: 1)
        try f.modify(.toReset)
        e.post(opcode, body(opcode, isLocalGood: false))
        left.wait(1_000_000_000)
        #expect(e.sent().map(\.syndrome) == [0x15])
    }

    /// The requester waits for its own page after the responder has done it.
    @Test func anAtomicHappensOnce() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let local = try left.key(left.keyContext(start: 0, length: 4096, entries: 1), [0], isPageable: true)
        a.post(
            .fetchAdd,
            PairDouble.body(
                remote: (target.address, target.key), PairDouble.big(UInt64(5)) + PairDouble.big(UInt64(0)),
                [Piece(address: 0, length: 8, key: local)]))
        #expect(left.events.faults.map(\.key) == [local] && a.sent().isEmpty)
        let key = try #require(left.path.keys[local >> 8])
        left.fill(source.address, 8)
        left.big([UInt64(source.address) | 3]).withUnsafeBytes {
            #expect(left.path.keys.write($0, to: key, at: 0))
        }
        try left.path.resume(token: left.events.faults[0].token, isError: false)
        left.run()
        #expect(a.sent().map(\.opcode) == [0])
        #expect(
            right.bus.peek(target.address, 1) == [5]
                && left.bus.peek(source.address, 8) == [UInt8](repeating: 0, count: 8))
    }

    /// Each try sends the packet again, which is read for it.
    @Test func ownMemoryIsReadForEachTry() throws {
        let (a, _) = try PairDouble.connected(left, right)
        a.post(.send, body(.send))
        left.wait(100_000_000)
        #expect(a.sent().isEmpty)
        #expect(left.path.keys[source.key >> 8]?.change { $0[MemoryKeyContext.free] = 1 } == true)
        left.wait(1_000_000)
        #expect(a.sent().map(\.syndrome) == [4])
    }

    /// Of one packet the receive request is looked for first; of two, the first has a key alone.
    @Test(arguments: [(4096, UInt8(0x16)), (4097, 0x13)])
    func aWriteWithImmediateDataAndNoReceiveRequest(_ length: Int, _ syndrome: UInt8) throws {
        let (a, b) = try PairDouble.connected(left, right, receiverRetries: 0)
        a.post(.writeImmediate, body(.writeImmediate, length, isRemoteGood: false))
        #expect(a.sent().map(\.syndrome) == [syndrome])
        #expect(b.pair?.state == (syndrome == 0x13 ? .error : .readyToSend))
    }

    /// The last packet waits for its receive request, and what was before it is there.
    @Test func aLongWriteWithImmediateDataWaitsWithItsLastPacket() throws {
        let (a, b) = try PairDouble.connected(left, right)
        left.fill(source.address, 0x1_2345)
        a.post(.writeImmediate, body(.writeImmediate, 0x1_2345), immediate: 9)
        left.wait(100_000_000)
        #expect(a.sent().isEmpty)
        #expect(right.bus.peek(target.address, 0x1_2000) == left.bus.peek(source.address, 0x1_2000))
        #expect(right.bus.peek(target.address + 0x1_2000, 0x345) == [UInt8](repeating: 0, count: 0x345))
        b.receive([])
        left.wait(2_000_000)
        #expect(a.sent().map(\.opcode) == [0] && b.received().map(\.immediate) == [9])
        #expect(right.bus.peek(target.address, 0x1_2345) == left.bus.peek(source.address, 0x1_2345))
    }

    /// What the responder drops is read to its end, as the requester does not know.
    @Test func whatIsDroppedIsReadToItsEnd() throws {
        let (a, _) = try PairDouble.connected(left, right, .unreliable)
        a.post(
            .send,
            PairDouble.body(
                remote: nil, [],
                [
                    Piece(address: source.address, length: 0x1_0000, key: source.key),
                    Piece(address: source.address, length: 8, key: source.key ^ 1),
                ]))
        #expect(a.sent().map(\.syndrome) == [4])
    }
}
