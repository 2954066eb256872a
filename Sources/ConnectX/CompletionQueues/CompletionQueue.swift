import VFIOUser

/// A completion queue: the buffer of its entries, and the event queue that gets its events.
final class CompletionQueue {
    /// Which entry raises the next event.
    enum Arming {
        case none
        case any
        case solicited
    }

    let number: UInt32
    private var context: [UInt8]
    private var buffer: PagedBuffer
    private(set) var sizeShift: Int
    private let entrySize: Int
    private let record: UInt64
    private let ignoresOverrun: Bool
    private(set) var eventQueue: UInt32
    /// Event moderation: an event is raised after so many entries, or so many nanoseconds after the first of them. 0
    /// is at once.
    private var moderation: (count: UInt32, period: UInt64)

    private var producer: UInt32 = 0
    /// The consumer's counter as it was last read from the host's memory. It is read again when the queue seems full.
    private var consumer: UInt32 = 0
    /// The producer after the last entry that was solicited.
    private var solicited: UInt32 = 0
    private var arming = Arming.none
    private var sequence: UInt32 = 0
    private var firedSequence: UInt32?
    private var waiting: UInt32 = 0
    /// When the moderation period of waiting entries ends, nanoseconds; nil when none wait.
    private(set) var deadline: UInt64?
    private(set) var isBroken = false
    /// The queue pairs that report to it.
    var reporters: Set<UInt32> = []

    /// From cqc, 64 bytes.
    init(
        _ number: UInt32, context: [UInt8], list: UnsafeRawBufferPointer
    ) throws(CommandFailure) {
        self.number = number
        self.context = context
        sizeShift = context[int: CompletionQueueContext.logCqSize]
        entrySize = context[int: CompletionQueueContext.cqeSz] == 0 ? 64 : 128
        record = context[CompletionQueueContext.dbrAddr]
        ignoresOverrun = context[flag: CompletionQueueContext.oi]
        eventQueue = UInt32(truncatingIfNeeded: context[CompletionQueueContext.eqn])
        moderation = CompletionQueue.moderation(context)
        buffer = try CompletionQueue.buffer(context, entrySize, list)
    }

    /// The page with its doorbells.
    var doorbellPage: Int { context[int: CompletionQueueContext.uarPage] }

    /// QUERY_CQ
    var queried: [UInt8] {
        var bytes = context
        bytes[CompletionQueueContext.status] = isBroken ? 0xa : 0
        bytes[CompletionQueueContext.st] = isBroken ? 0 : arming == .none ? 0xa : 9
        bytes[CompletionQueueContext.producerCounter] = UInt64(producer & 0xff_ffff)
        bytes[CompletionQueueContext.consumerCounter] = UInt64(consumer & 0xff_ffff)
        return bytes
    }

    /// Bytes of this process's memory that it accounts for.
    var cost: Int { 512 + buffer.cost }

    private static func buffer(
        _ context: [UInt8], _ entrySize: Int, _ list: UnsafeRawBufferPointer
    ) throws(CommandFailure) -> PagedBuffer {
        let shift = context[int: CompletionQueueContext.logCqSize]
        guard shift <= 22 else { throw CommandFailure(.badParameter, "log_cq_size is above log_max_cq_sz") }
        return try PagedBuffer(
            list: list, logPageSize: context[int: CompletionQueueContext.logPageSize],
            offset: context[int: CompletionQueueContext.pageOffset], size: entrySize << shift)
    }

    private static func moderation(_ context: [UInt8]) -> (UInt32, UInt64) {
        (
            UInt32(truncatingIfNeeded: context[CompletionQueueContext.cqMaxCount]),
            context[CompletionQueueContext.cqPeriod] * 1000
        )
    }

    /// MODIFY_CQ without a new buffer: fields by MLX5_CQ_MODIFY_*: 1 period, 2 count.
    func modify(_ select: UInt32, _ new: [UInt8]) {
        if select & 1 != 0 { context[CompletionQueueContext.cqPeriod] = new[CompletionQueueContext.cqPeriod] }
        if select & 2 != 0 { context[CompletionQueueContext.cqMaxCount] = new[CompletionQueueContext.cqMaxCount] }
        moderation = CompletionQueue.moderation(context)
    }

    /// MODIFY_CQ with a new buffer: the old one ends with an entry that says so.
    func resize(_ new: [UInt8], list: UnsafeRawBufferPointer, _ path: DataPath) throws(CommandFailure) {
        let next = try CompletionQueue.buffer(new, entrySize, list)
        try path.take(next.cost - buffer.cost)
        add(CompletionEntry(opcode: .resized), path)
        guard !isBroken else {
            path.give(next.cost - buffer.cost)
            throw CommandFailure(.badResourceState, "the completion queue is in error")
        }
        buffer = next
        sizeShift = new[int: CompletionQueueContext.logCqSize]
        for field in [
            CompletionQueueContext.logCqSize, CompletionQueueContext.logPageSize, CompletionQueueContext.pageOffset,
        ] {
            context[field] = new[field]
        }
    }

    // MARK: Entries

    /// Adds an entry, and raises an event if the host armed the queue for it. An entry that finds no room puts the
    /// queue into its error state.
    func add(_ entry: CompletionEntry, _ path: DataPath) {
        guard !isBroken else { return }
        if !ignoresOverrun, (producer &- consumer) & 0xff_ffff >= 1 << UInt32(sizeShift) {
            guard let word = try? path.requester.word(record) else { return fail(2, path) }
            consumer = word & 0xff_ffff
            guard (producer &- consumer) & 0xff_ffff < 1 << UInt32(sizeShift) else { return fail(1, path) }
        }
        let place = Int(producer & ((1 << UInt32(sizeShift)) - 1)) * entrySize + entrySize - CompletionEntry.size
        let owner = UInt8(truncatingIfNeeded: producer >> UInt32(sizeShift)) & 1
        do throws(DMAFault) { try write(entry, at: place, owner, path) } catch { return fail(2, path) }
        producer = producer &+ 1
        let isUrgent = entry.isSolicited || entry.syndrome != nil
        if isUrgent { solicited = producer }
        guard arming == .any || arming == .solicited && isUrgent else { return }
        tell(path)
    }

    private func write(_ entry: CompletionEntry, at place: Int, _ owner: UInt8, _ path: DataPath) throws(DMAFault) {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: path.scratch[..<CompletionEntry.size])
        entry.fill(bytes, owner: owner, time: path.requester.clock())
        try path.requester.writeEntry(buffer.address(of: place), UnsafeRawBufferPointer(bytes))
    }

    private func fail(_ syndrome: UInt8, _ path: DataPath) {
        isBroken = true
        arming = .none
        deadline = nil
        path.events.raise(.completionQueueError(number, syndrome: syndrome))
        path.completionQueueBroke(number)
    }

    // MARK: Telling

    /// The doorbell's first word: sequence number in 29:28, solicited only in bit 24, consumer counter in 23:0.
    func arm(_ command: UInt32, _ path: DataPath) {
        guard !isBroken else { return }
        sequence = command >> 28 & 3
        // An event for this sequence number was raised already; the host increments the number when it has seen it.
        guard firedSequence != sequence else { return }
        firedSequence = nil
        let seen = command & 0xff_ffff
        consumer = seen
        let isSolicitedOnly = command >> 24 & 1 == 1
        arming = isSolicitedOnly ? .solicited : .any
        let unseen = (isSolicitedOnly ? solicited : producer) &- seen
        if unseen & 0xff_ffff != 0, unseen & 0x80_0000 == 0 { tell(path) }
    }

    private func tell(_ path: DataPath) {
        waiting += 1
        if moderation.count > 1, moderation.period > 0, waiting < moderation.count {
            if deadline == nil {
                deadline = path.requester.clock() &+ moderation.period
                path.timers.add(.completionQueue(number), at: deadline ?? 0)
            }
            return
        }
        fire(path)
    }

    /// The moderation period has ended.
    func elapse(_ path: DataPath) {
        guard let deadline, deadline <= path.requester.clock() else { return }
        fire(path)
    }

    private func fire(_ path: DataPath) {
        deadline = nil
        waiting = 0
        guard arming != .none else { return }
        arming = .none
        firedSequence = sequence
        path.events.completion(of: number, to: eventQueue)
    }
}
