import Testing
import VFIOUser

@testable import ConnectX

/// What one NIC, or one guest, may take from the others and from the process that serves them.
@Suite struct DataPathIsolationTests {
    typealias Piece = PairDouble.Piece

    @Test func aThirdNICIsNotTheOtherEnd() throws {
        let (fabric, time) = (Fabric(), DataPathDouble.Time())
        let nics = (1...3).map { DataPathDouble(fabric: fabric, lid: UInt16($0), time: time) }
        let (a, b) = try PairDouble.connected(nics[0], nics[1])
        let c = try PairDouble(nics[2])
        #expect(c.number == a.number)
        try c.connect(b)
        let memory = nics[1].room(64)
        b.receive([Piece(address: memory, length: 64, key: try nics[1].key(memory, 64))])
        c.post(.send, PairDouble.inline([1]))
        nics[2].wait(10_000_000_000)
        #expect(c.sent().map(\.syndrome) == [0x15] && b.received().isEmpty)
        a.post(.send, PairDouble.inline([2]))
        #expect(a.sent().map(\.opcode) == [0] && nics[1].bus.peek(memory, 1) == [2])
    }

    @Test func aResetWakesWhoWaitsForPages() throws {
        let (fabric, time) = (Fabric(), DataPathDouble.Time())
        let (left, right) = (
            DataPathDouble(fabric: fabric, lid: 1, time: time), DataPathDouble(fabric: fabric, lid: 2, time: time)
        )
        let (a, _) = try PairDouble.connected(left, right)
        let remote = try right.key(right.keyContext(start: 0, length: 4096, entries: 1), [], isPageable: true)
        a.post(.write, PairDouble.body(remote: (0, remote), PairDouble.inline([1])))
        #expect(right.events.faults.count == 1 && a.sent().isEmpty)
        right.path.reset()
        left.wait(10_000_000_000)
        #expect(a.sent().map(\.syndrome) == [0x15])
    }

    @Test func aCyclicPoolGoesAround() throws {
        let (fabric, time) = (Fabric(), DataPathDouble.Time())
        let (left, right) = (
            DataPathDouble(fabric: fabric, lid: 1, time: time), DataPathDouble(fabric: fabric, lid: 2, time: time)
        )
        let pool = try DataPathQueueTests.Shared(right, .pool, log: 1, isCyclic: true)
        let memory = right.room(64)
        let key = try right.key(memory, 64)
        let a = try PairDouble(left)
        let b = try PairDouble(right) {
            $0[QueuePairContext.rqType] = 1
            $0[QueuePairContext.srqn] = UInt64(pool.number)
        }
        try a.connect(b)
        try b.connect(a)
        for index in 0..<5 {
            pool.post(Piece(address: memory + index, length: 1, key: key))
            a.post(.send, PairDouble.inline([UInt8(index + 1)]))
        }
        #expect(b.received().map(\.counter) == [0, 1, 0, 1, 0])
        #expect(right.bus.peek(memory, 5) == [1, 2, 3, 4, 5] && right.events.events.isEmpty)
    }

    /// A guest may make queues until the model has no memory for their lists of pages, and no further.
    @Test func queuesEndBeforeMemoryDoes() throws {
        let nic = DataPathDouble()
        nic.path.mostMemory = 4 << 20
        var context = [UInt8](repeating: 0, count: CompletionQueueContext.size)
        context[CompletionQueueContext.logCqSize] = 22
        let pages = [UInt8](repeating: 0, count: 8 << 16)
        func make() -> Int? {
            try? context.withUnsafeBytes { context in
                try pages.withUnsafeBytes { try nic.path.createCompletionQueue(context, list: $0) }
            }
        }
        var made: [Int] = []
        while made.count < 100, let number = make() { made.append(number) }
        #expect(made.count == 7)
        try nic.path.destroyCompletionQueue(made[3])
        #expect(make() != nil && make() == nil)
        nic.path.reset()
        #expect(make() != nil)
    }

    @Test func queuePairsOfManagementAreFew() throws {
        let nic = DataPathDouble()
        let pairs = (0..<70).compactMap { _ in try? PairDouble(nic, .generalServices, sendLog: 2, receiveLog: 1) }
        #expect(pairs.count == 64)
    }
}
