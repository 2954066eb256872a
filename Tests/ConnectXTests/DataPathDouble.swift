import Kernel
import VFIOUser

@testable import ConnectX

/// What a data path tells, and who handles page faults.
final class EventDouble: EventSink {
    var completions: [UInt32] = []
    var events: [AsynchronousEvent] = []
    var faults: [PageFault] = []
    var takesFaults = true

    func completion(of queue: UInt32, to eventQueue: UInt32) { completions.append(queue) }
    func raise(_ event: AsynchronousEvent) { events.append(event) }
    func pageFault(_ fault: PageFault) -> Bool {
        if takesFaults { faults.append(fault) }
        return takesFaults
    }
}

/// A NIC's data path on memory of a test, and the host's side of its queues.
final class DataPathDouble {
    let bus = TestBus(size: 16 << 20)
    let events = EventDouble()
    let requester: Requester
    let path: DataPath
    let time: Time
    /// Memory is given out and never taken back.
    private var top = 0x10_0000

    final class Time { var now: UInt64 = 1_000_000 }

    static let domain: UInt32 = 7

    init(fabric: Fabric = Fabric(), lid: UInt16 = 1, time: Time = Time()) {
        self.time = time
        requester = Requester(bus) { time.now }
        path = DataPath(
            requester, events: events, fabric: fabric,
            ports: [Port(lid: lid, gids: [GID(high: 0xfe80 << 48, low: UInt64(lid))])])
    }

    deinit { path.leaveFabric() }

    func room(_ bytes: Int) -> Int {
        defer { top += (bytes + 4095) & ~4095 }
        return top
    }

    /// Works until nothing is left to do now.
    func run() {
        for _ in 0..<100_000 where path.hasWork { path.work() }
    }

    /// Lets time pass until nothing waits for it, at most so long.
    func wait(_ nanoseconds: UInt64) {
        let end = time.now + nanoseconds
        run()
        while let next = path.deadline, next <= end {
            time.now = max(time.now, next)
            run()
        }
        time.now = end
    }

    func word(_ address: Int) -> UInt32 { bus.peek(address, 4).reduce(0) { $0 << 8 | UInt32($1) } }
    func put<Number: FixedWidthInteger>(_ value: Number, at address: Int) {
        bus.poke(address, withUnsafeBytes(of: value.bigEndian) { Array($0) })
    }

    /// Bytes that differ from each other.
    func fill(_ address: Int, _ count: Int, seed: Int = 1) {
        bus.poke(address, (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8 &+ seed) })
    }

    // MARK: Memory keys

    /// A key's context: access mode, rights (as AccessRights), where it starts, how long it is.
    func keyContext(
        mode: UInt64 = 1, access: AccessRights = [.localRead, .localWrite, .remoteRead, .remoteWrite, .atomic],
        start: Int, length: Int, pageShift: UInt64 = 12, entries: Int = 512, domain: UInt32 = DataPathDouble.domain,
        variant: UInt64 = 0x42, _ change: (inout [UInt8]) -> Void = { _ in }
    ) -> [UInt8] {
        typealias Context = MemoryKeyContext
        var bytes = [UInt8](repeating: 0, count: Context.size)
        bytes[Context.accessMode10] = mode & 3
        bytes[Context.accessMode42] = mode >> 2
        bytes[flag: Context.lr] = access.contains(.localRead)
        bytes[flag: Context.lw] = access.contains(.localWrite)
        bytes[flag: Context.rr] = access.contains(.remoteRead)
        bytes[flag: Context.rw] = access.contains(.remoteWrite)
        bytes[flag: Context.a] = access.contains(.atomic)
        bytes[Context.qpn] = 0xff_ffff
        bytes[Context.variant] = variant
        bytes[Context.pd] = UInt64(domain)
        bytes[Context.startAddr] = UInt64(start)
        bytes[Context.length] = UInt64(length)
        bytes[Context.logPageSize] = pageShift
        bytes[Context.translationsOctwordSize] = UInt64((entries + 1) / 2)
        change(&bytes)
        return bytes
    }

    func big(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in withUnsafeBytes(of: word.bigEndian) { Array($0) } }
    }

    /// Creates a key; the number that requests name.
    func key(_ context: [UInt8], _ translations: [UInt64] = [], isPageable: Bool = false) throws -> UInt32 {
        let index = try big(translations).withUnsafeBytes { list in
            try context.withUnsafeBytes { try path.keys.create($0, translations: list, isPageable: isPageable) }
        }
        return UInt32(index) << 8 | UInt32(context[MemoryKeyContext.variant])
    }

    /// A key of memory whose addresses are the bus's.
    func key(
        _ address: Int, _ length: Int,
        _ access: AccessRights = [.localRead, .localWrite, .remoteRead, .remoteWrite, .atomic],
        _ change: (inout [UInt8]) -> Void = { _ in }
    ) throws -> UInt32 {
        let first = address & ~4095
        let pages = stride(from: first, to: address + length, by: 4096).map { UInt64($0) }
        return try key(
            keyContext(access: access, start: address, length: length, entries: pages.count, change), pages)
    }

    // MARK: Queues

    struct Queue {
        let number: UInt32
        let buffer: Int
        let record: Int
        let log: Int
        let size: Int
        var consumer = 0
    }

    func completionQueue(log: Int = 6, size: Int = 64, _ change: (inout [UInt8]) -> Void = { _ in }) throws -> Queue {
        typealias Context = CompletionQueueContext
        let buffer = room(size << log)
        let record = room(8)
        for entry in 0..<1 << log { bus.poke(buffer + entry * size + size - 1, [0xf1]) }
        var context = [UInt8](repeating: 0, count: Context.size)
        context[Context.logCqSize] = UInt64(log)
        context[Context.cqeSz] = size == 64 ? 0 : 1
        context[Context.dbrAddr] = UInt64(record)
        context[Context.eqn] = 5
        change(&context)
        let pages = pageList(buffer, size << log)
        let number = try context.withUnsafeBytes { context in
            try pages.withUnsafeBytes { try path.createCompletionQueue(context, list: $0) }
        }
        return Queue(number: UInt32(number), buffer: buffer, record: record, log: log, size: size)
    }

    func pageList(_ address: Int, _ size: Int) -> [UInt8] {
        big(stride(from: address, to: address + max(size, 1), by: 4096).map { UInt64($0) })
    }

    /// An entry, as a driver reads it.
    struct Completion: Equatable {
        var opcode: UInt8
        var syndrome: UInt8
        var request: UInt8
        var queuePair: UInt32
        var counter: UInt16
        var bytes: UInt32
        var immediate: UInt32
        var index: UInt32
        var source: UInt32
        var lid: UInt16
        var hasRoute: Bool
    }

    /// Takes the next entry, and counts it as read.
    func poll(_ queue: inout Queue) -> Completion? {
        let place = queue.buffer + (queue.consumer & ((1 << queue.log) - 1)) * queue.size + queue.size - 64
        let entry = bus.peek(place, 64)
        guard entry[63] >> 4 != 0xf, Int(entry[63] & 1) == queue.consumer >> queue.log & 1 else { return nil }
        queue.consumer += 1
        put(UInt32(queue.consumer & 0xff_ffff), at: queue.record)
        let isError = entry[63] >> 4 == 13 || entry[63] >> 4 == 14
        let flags = word(place + 24)
        return Completion(
            opcode: entry[63] >> 4, syndrome: isError ? entry[55] : 0, request: entry[56],
            queuePair: word(place + 56) & 0xff_ffff, counter: UInt16(entry[60]) << 8 | UInt16(entry[61]),
            bytes: word(place + 44), immediate: word(place + 36), index: word(place + 32), source: flags & 0xff_ffff,
            lid: UInt16(entry[22]) << 8 | UInt16(entry[23]), hasRoute: flags >> 28 & 3 != 0)
    }

    func polls(_ queue: inout Queue) -> [Completion] {
        var all: [Completion] = []
        while let next = poll(&queue) { all.append(next) }
        return all
    }
}
