import Kernel
import Testing
import VFIOUser

@testable import ConnectX

/// Good requests of connected queue pairs, of one NIC and of two.
@Suite struct DataPathRequestTests {
    let left: DataPathDouble
    let right: DataPathDouble

    init() {
        let fabric = Fabric()
        let time = DataPathDouble.Time()
        left = DataPathDouble(fabric: fabric, lid: 1, time: time)
        right = DataPathDouble(fabric: fabric, lid: 2, time: time)
    }

    typealias Piece = PairDouble.Piece

    @Test(arguments: [1, 8, 4095, 4096, 65536, 65537, 300_000], [false, true])
    func aWriteArrives(_ length: Int, _ isLoopback: Bool) throws {
        let far = isLoopback ? left : right
        let (a, b) = try PairDouble.connected(left, far)
        let source = left.room(length + 100) + 13
        let target = far.room(length + 100) + 77
        left.fill(source, length)
        let local = try left.key(source, length)
        let remote = try far.key(target, length)
        a.post(
            .write, PairDouble.body(remote: (target, remote), [], [Piece(address: source, length: length, key: local)]))
        let end = a.sent()
        #expect(end.map(\.opcode) == [0] && end.first?.request == 8 && end.first?.counter == 0)
        #expect(end.first?.index == 0x123 && end.first?.queuePair == a.number)
        #expect(far.bus.peek(target, length) == left.bus.peek(source, length))
        #expect(b.received().isEmpty)
    }

    @Test func aReadGathersFromTheResponder() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let source = right.room(200_000)
        let target = left.room(200_000)
        right.fill(source, 200_000)
        let remote = try right.key(source, 200_000)
        let local = try left.key(target, 200_000)
        let pieces = [
            Piece(address: target + 100_000, length: 90_001, key: local), Piece(address: target, length: 9, key: local),
        ]
        a.post(.read, PairDouble.body(remote: (source + 5, remote), [], pieces))
        #expect(a.sent().map(\.bytes) == [90_010])
        #expect(left.bus.peek(target + 100_000, 90_001) == right.bus.peek(source + 5, 90_001))
        #expect(left.bus.peek(target, 9) == right.bus.peek(source + 5 + 90_001, 9))
        #expect(left.bus.peek(target + 9, 1) == [0])
    }

    @Test(arguments: [WorkRequestOpcode.send, .sendImmediate, .writeImmediate])
    func aMessageTakesAReceiveRequest(_ opcode: WorkRequestOpcode) throws {
        let (a, b) = try PairDouble.connected(left, right)
        let source = left.room(4096)
        left.fill(source, 100)
        let target = right.room(4096)
        let (local, remote) = (try left.key(source, 4096), try right.key(target, 4096))
        b.receive([
            Piece(address: target, length: 30, key: remote), Piece(address: target + 1000, length: 200, key: remote),
        ])
        let to: (Int, UInt32)? = opcode == .writeImmediate ? (target + 2000, remote) : nil
        a.post(
            opcode, PairDouble.body(remote: to, [], [Piece(address: source, length: 100, key: local)]),
            immediate: 0xabcd)
        #expect(a.sent().map(\.opcode) == [0])
        let end = b.received()
        let kind: [WorkRequestOpcode: UInt8] = [.send: 2, .sendImmediate: 3, .writeImmediate: 1]
        #expect(end.map(\.opcode) == [kind[opcode]] && end.first?.bytes == 100)
        #expect(end.first?.immediate == (opcode == .send ? 0 : 0xabcd))
        if opcode == .writeImmediate {
            #expect(right.bus.peek(target + 2000, 100) == left.bus.peek(source, 100))
        } else {
            #expect(right.bus.peek(target, 30) == left.bus.peek(source, 30))
            #expect(right.bus.peek(target + 1000, 70) == left.bus.peek(source + 30, 70))
        }
    }

    @Test func inlineBytesAndUnsignaledRequests() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let remote = try right.key(target, 4096)
        let data = (0..<90).map { UInt8($0) }
        a.post(.write, PairDouble.body(remote: (target, remote), PairDouble.inline(data)), flags: 0)
        a.post(.nop, [])
        #expect(right.bus.peek(target, 91) == data + [0])
        #expect(a.sent().map(\.counter) == [2])
    }

    @Test func queuesWrap() throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let remote = try right.key(target, 4096)
        // Entries of eight blocks in a queue of 16, until its counter wraps; receive requests in one of 8.
        for round in 0..<8_400 {
            let isChecked = round % 97 == 0
            let data = (0..<450).map { UInt8(truncatingIfNeeded: $0 + round) }
            if isChecked { b.receive([Piece(address: target, length: 512, key: remote)]) }
            a.write(isChecked ? 0xa : 0, PairDouble.inline(data), flags: isChecked ? 8 : 0)
            a.ring()
            left.path.work()
            guard isChecked else { continue }
            #expect(right.bus.peek(target, 450) == data)
            #expect(a.sent().count == 1 && b.received().count == 1)
        }
    }

    @Test func atomicsFetchAndChange() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let cell = right.room(4096)
        let back = left.room(4096)
        let (remote, local) = (try right.key(cell, 4096), try left.key(back, 4096))
        func value(_ nic: DataPathDouble, _ at: Int) -> UInt64 {
            nic.bus.peek(at, 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        func ask(_ opcode: WorkRequestOpcode, _ operands: UInt64...) -> UInt64 {
            let more = operands.flatMap { PairDouble.big($0) }
            a.post(opcode, PairDouble.body(remote: (cell, remote), more, [Piece(address: back, length: 8, key: local)]))
            #expect(a.sent().map(\.bytes) == [8])
            return value(left, back)
        }
        #expect(ask(.fetchAdd, 5, 0) == 0)
        #expect(ask(.fetchAdd, UInt64.max, 0) == 5)
        #expect(value(right, cell) == 4)
        #expect(ask(.compareSwap, 77, 3) == 4)
        #expect(value(right, cell) == 4)
        #expect(ask(.compareSwap, 77, 4) == 4)
        #expect(value(right, cell) == 77)
        #expect(ask(.maskedCompareSwap, 0xff00, 0x4d, 0xff00, 0x0f) == 77)
        #expect(value(right, cell) == 0xff4d)
        // Two fields of a byte, which do not carry into each other.
        #expect(ask(.maskedFetchAdd, 0x0101, 0x8080) == 0xff4d)
        #expect(value(right, cell) == 0x004e)
    }

    @Test func solicitedAndImmediateReachAnArmedQueue() throws {
        let (a, b) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let key = try right.key(target, 4096)
        for _ in 0..<4 { b.receive([Piece(address: target, length: 64, key: key)]) }
        right.path.armCompletionQueue(b.receiveCompletions.number, 1 << 24)
        a.post(.send, PairDouble.inline([1]))
        #expect(right.events.completions.isEmpty)
        a.post(.send, PairDouble.inline([1]), flags: 8 | 2)
        #expect(right.events.completions == [b.receiveCompletions.number])
        a.post(.send, PairDouble.inline([1]), flags: 8 | 2)
        #expect(right.events.completions.count == 1)
        // Armed again with entries unseen it tells at once; with the same number it tells nothing twice.
        right.path.armCompletionQueue(b.receiveCompletions.number, 2)
        #expect(right.events.completions.count == 1)
        right.path.armCompletionQueue(b.receiveCompletions.number, 1 << 28 | 2)
        #expect(right.events.completions.count == 2)
        right.path.armCompletionQueue(b.receiveCompletions.number, 2 << 28 | 3)
        #expect(right.events.completions.count == 2)
        a.post(.send, PairDouble.inline([1]))
        #expect(right.events.completions.count == 3)
    }

    @Test func withoutAcknowledgementsWhatIsNotTakenIsDropped() throws {
        let (a, b) = try PairDouble.connected(left, right, .unreliable)
        let target = right.room(4096)
        let key = try right.key(target, 4096, [.localWrite])
        a.post(.send, PairDouble.inline([1]))
        a.post(.write, PairDouble.body(remote: (target, key), PairDouble.inline([9])))
        b.receive([Piece(address: target, length: 64, key: key)])
        a.post(.send, PairDouble.inline([2]))
        #expect(a.sent().map(\.opcode) == [0, 0, 0])
        #expect(b.received().map(\.opcode) == [2])
        #expect(right.bus.peek(target, 1) == [2])
        a.post(.read, PairDouble.body(remote: (target, key), [], [Piece(address: 0, length: 4, key: key)]))
        #expect(a.sent().map(\.syndrome) == [2])
        #expect(a.pair?.state == .sendError)
    }

    @Test func requestsOnTheLinkCarryWhatTheKeySays() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let key = try right.key(target, 4096) {
            $0[flag: MemoryKeyContext.tphEnabled] = true
            $0[MemoryKeyContext.processingHint] = 2
            $0[MemoryKeyContext.steeringTagIndex] = 1
            $0[flag: MemoryKeyContext.relaxedOrderingWrite] = true
        }
        var sent: [TLP] = []
        right.requester.report = { sent.append($0) }
        let body = PairDouble.body(remote: (target + 100, key), PairDouble.inline([UInt8](repeating: 3, count: 200)))
        a.post(.write, body)
        #expect(sent.map(\.length) == [28, 128, 44])
        #expect(sent.allSatisfy { $0.hint == nil && $0.isRelaxed && $0.isWrite })
        right.requester.steering = SteeringTags(requests: .extended, mode: .deviceSpecific, table: [0, 0x142])
        sent = []
        a.post(.write, body)
        #expect(sent.map(\.hint) == Array(repeating: TLP.Hint(tag: 0x142, isExtended: true, ph: 2), count: 3))
        right.requester.steering.table = nil
        right.requester.steering.requests = .tph
        sent = []
        a.post(
            .read,
            PairDouble.body(
                remote: (target, key), [], [Piece(address: 0, length: 4, key: try left.key(left.room(8), 4))]))
        #expect(sent.map(\.hint) == [TLP.Hint(tag: 1, ph: 2)])
        #expect(sent.allSatisfy { !$0.isRelaxed && !$0.isWrite })
    }

    /// Device Control bounds requests, and takes the attribute from all.
    @Test func requestsOnTheLinkAreAsDeviceControlSays() throws {
        let (a, _) = try PairDouble.connected(left, right)
        let target = right.room(4096)
        let key = try right.key(target, 4096) { $0[flag: MemoryKeyContext.relaxedOrderingWrite] = true }
        var sent: [TLP] = []
        right.requester.report = { sent.append($0) }
        right.requester.control = DeviceControl(0x0020)
        a.post(.write, PairDouble.body(remote: (target, key), PairDouble.inline([UInt8](repeating: 3, count: 300))))
        #expect(sent.map(\.length) == [256, 44])
        #expect(sent.allSatisfy { !$0.isRelaxed })
        // Sizes that there are not.
        #expect(DeviceControl(0xffff).largestWrite == 4096 && DeviceControl(0xffff).largestRead == 4096)
    }

    @Test func deviceControlIsTheConfigurationSpaces() {
        let driver = DriverDouble()
        let control = { (driver.hca.bus.control.largestWrite, driver.hca.bus.control.largestRead) }
        #expect(control() == (128, 512) && driver.hca.bus.control.isRelaxed)
        driver.write(7, 0x48, [0x20, 0x30])
        #expect(control() == (256, 1024) && !driver.hca.bus.control.isRelaxed)
        driver.hca.reset()
        #expect(control() == (128, 512) && driver.hca.bus.control.isRelaxed)
    }
}
