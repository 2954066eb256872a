import VFIOUser

/// Receives the data path's events for the host.
protocol EventSink: AnyObject {
    /// An armed completion queue has got an entry.
    func completion(of queue: UInt32, to eventQueue: UInt32)
    /// An asynchronous event of an object.
    func raise(_ event: AsynchronousEvent)
    /// A request waits for pages; false where no queue takes page faults, and it fails.
    func pageFault(_ fault: PageFault) -> Bool
}

/// The data path of a NIC: memory keys, queues, and the transport between them. It reads queues from the
/// host's memory, and checks all that it finds there. All calls come from one thread; doorbells only note what is to be done, and
/// `work` does it, a bounded part each time.
final class DataPath {
    let requester: Requester
    unowned let events: any EventSink
    let fabric: Fabric
    let keys: MemoryKeyTable
    /// Ports; port number 1 is the first.
    var ports: [Port]
    let deviceMemory = DeviceMemory()

    var queuePairs: NumberedTable<QueuePair>
    var completionQueues: NumberedTable<CompletionQueue>
    /// Shared receive queues of all kinds: their numbers are of one space, as drivers keep them in one table.
    var receiveQueues: NumberedTable<SharedReceiveQueue>
    /// Queue pairs attached to multicast groups.
    var multicast: [GID: [UInt32]] = [:]
    /// Numbers of the queue pairs for subnet management and general services.
    var specialPairs: [UInt32] = []
    var timers = TimerQueue()
    /// Queue pairs with work, first come first.
    private var ready = ContiguousArray<UInt32>()
    private var readyHead = 0
    /// Bytes of this process's memory that queues take, and the most that they may. Object numbers alone would let a guest
    /// take more.
    var memory = 0
    var mostMemory = 256 << 20
    /// Queue pairs that wait for pages, by the page fault's token.
    private var faults: [UInt64: (nic: DataPath, queuePair: UInt32, generation: UInt32, isRemote: Bool)] = [:]
    private var nextToken: UInt64 = 1
    /// Buffer for work queue entries that are read or written whole.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
    /// Buffer for the bytes of a packet between two memories.
    let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: DataPath.packetSize, alignment: 64)

    /// Bytes moved at once.
    static let packetSize = 64 << 10
    /// The budget of one turn of a queue pair: bytes moved, and some more for each piece.
    static let turn = 1 << 20
    /// The budget of one call of `work`, in the same unit.
    var share = 8 << 20
    /// Nanoseconds that one call of `work` may last, as clients' requests wait meanwhile; the rest is done by the
    /// next call.
    private static let duration: UInt64 = 10_000_000
    private var due: UInt64 = .max
    /// Whether that time is over.
    var isLate: Bool { requester.clock() >= due }

    /// How many objects there may be.
    struct Limits {
        var queuePairs = 1 << 18
        var completionQueues = 1 << 18
        var receiveQueues = 1 << 16
        var memoryKeys = 1 << 22
    }

    init(
        _ requester: Requester, events: any EventSink, fabric: Fabric, limits: Limits = Limits(),
        ports: [Port] = [Port()]
    ) {
        queuePairs = NumberedTable(first: 0x48, limit: limits.queuePairs)
        completionQueues = NumberedTable(first: 0x40, limit: limits.completionQueues)
        receiveQueues = NumberedTable(first: 1, limit: limits.receiveQueues)
        keys = MemoryKeyTable(limit: limits.memoryKeys)
        self.requester = requester
        self.events = events
        self.fabric = fabric
        self.ports = ports
        fabric.join(self)
    }

    deinit {
        scratch.deallocate()
        packet.deallocate()
    }

    /// Removes its ports from the fabric, as when its function goes.
    func leaveFabric() {
        fabric.leave(self)
        dropFaults()
    }

    /// Ends waits for page faults, as no driver will resume them. Queue pairs of other NICs try again, and get an answer or
    /// a timeout.
    private func dropFaults() {
        let waiting = faults
        faults = [:]
        for (token, fault) in waiting where fault.nic !== self {
            guard let pair = fault.nic.queuePairs[fault.queuePair], pair.generation == fault.generation,
                pair.wait == .pageFault(token)
            else { continue }
            pair.wait = .none
            fault.nic.schedule(pair)
        }
    }

    /// Forgets everything, as after a reset of the function.
    func reset() {
        queuePairs.removeAll()
        completionQueues.removeAll()
        receiveQueues.removeAll()
        keys.removeAll()
        deviceMemory.removeAll()
        multicast = [:]
        specialPairs = []
        timers.removeAll()
        ready = []
        readyHead = 0
        memory = 0
        dropFaults()
        requester.steering = SteeringTags()
    }

    // MARK: Work

    /// Whether `work` has something to do now.
    var hasWork: Bool { readyHead < ready.count || timers.earliest.map { $0 <= requester.clock() } ?? false }

    /// When `work` has something to do though no doorbell is rung; nil for never. Nanoseconds of the clock.
    var deadline: UInt64? { readyHead < ready.count ? 0 : timers.earliest }

    /// Does a bounded part of the work; returns whether there is more.
    @discardableResult
    func work() -> Bool {
        var budget = share
        due = requester.clock() &+ DataPath.duration
        while budget > 0, !isLate, let subject = timers.next(requester.clock()) {
            budget -= 256
            elapse(subject)
        }
        while budget > 0, !isLate, readyHead < ready.count {
            let number = ready[readyHead]
            readyHead += 1
            if readyHead == ready.count {
                ready.removeAll(keepingCapacity: true)
                readyHead = 0
            }
            guard let pair = queuePairs[number] else { continue }
            pair.isScheduled = false
            var turn = min(budget, DataPath.turn)
            let given = turn
            progress(pair, &turn)
            budget -= given - turn + 256
        }
        return hasWork
    }

    /// Puts a queue pair into the list for the next call of `work`.
    func schedule(_ pair: QueuePair) {
        guard !pair.isScheduled else { return }
        pair.isScheduled = true
        if readyHead > 4096, readyHead * 2 > ready.count {
            ready.removeFirst(readyHead)
            readyHead = 0
        }
        ready.append(pair.number)
    }

    private func elapse(_ subject: TimerQueue.Subject) {
        switch subject {
        case .completionQueue(let number): completionQueues[number]?.elapse(self)
        case .queuePair(let number):
            guard let pair = queuePairs[number] else { return }
            pair.timer = nil
            guard case .until(let time) = pair.wait else { return }
            guard time <= requester.clock() else { return wait(pair, until: time) }
            pair.wait = .none
            schedule(pair)
        }
    }

    /// Lets a queue pair wait until a time, nanoseconds.
    func wait(_ pair: QueuePair, until time: UInt64) {
        pair.wait = .until(time)
        if let timer = pair.timer, timer <= time { return }
        pair.timer = time
        timers.add(.queuePair(pair.number), at: time)
    }

    // MARK: Doorbells

    /// A send doorbell. How many requests there are is read from the queue pair's doorbell record.
    func ringSendQueue(_ number: UInt32) {
        guard let pair = queuePairs[number & 0xff_ffff] else { return }
        if pair.state == .error || pair.state == .sendError { pair.wait = .none }
        schedule(pair)
    }

    /// A completion queue's doorbell.
    func armCompletionQueue(_ number: UInt32, _ command: UInt32) {
        completionQueues[number & 0xff_ffff]?.arm(command, self)
    }

    // MARK: Page faults

    /// Lets a queue pair, which may be another NIC's, wait for pages of this one. False where no driver takes page faults.
    func pageFault(
        _ key: UInt32, _ address: UInt64, _ length: UInt64, for pair: QueuePair, of nic: DataPath, isRemote: Bool
    ) -> Bool {
        // An entry stays when its wait ended otherwise, as the driver may still resume it. So stale ones are removed here.
        if faults.count >= 2 * queuePairs.count + 4096 {
            faults = faults.filter { $1.nic.queuePairs[$1.queuePair]?.wait == .pageFault($0) }
        }
        let token = nextToken & 0xffff_ffff_ffff
        nextToken &+= 1
        guard events.pageFault(PageFault(token: token, key: key, address: address, length: length)) else {
            return false
        }
        faults[token] = (nic, pair.number, pair.generation, isRemote)
        pair.wait = .pageFault(token)
        return true
    }

    /// PAGE_FAULT_RESUME of the memory scheme: info's eight bytes.
    func resume(token: UInt64, isError: Bool) throws(CommandFailure) {
        guard let fault = faults.removeValue(forKey: token) else {
            throw CommandFailure(.badParameter, "no page fault of this token")
        }
        guard let pair = fault.nic.queuePairs[fault.queuePair], pair.generation == fault.generation,
            pair.wait == .pageFault(token)
        else { return }
        pair.wait = .none
        if isError { pair.request.failure = fault.isRemote ? .remoteOperation : .localProtection }
        fault.nic.schedule(pair)
    }

    /// Every queue pair that reports to a queue without room is in error.
    func completionQueueBroke(_ number: UInt32) {
        // Sorted, so that the order of events is always the same.
        for number in completionQueues[number]?.reporters.sorted() ?? [] {
            guard let pair = queuePairs[number], pair.state != .reset, pair.state != .error else { continue }
            enterError(pair, .workQueueCatastrophicError)
        }
    }
}
