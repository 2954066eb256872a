import CKernel
import Glibc
import Kernel

/// Posts and polls as fast as it goes. Between a post and a poll nothing is allocated, retained or released: all state is
/// in local variables and in memory that was taken before.
struct TrafficStream: ~Copyable {
    private static let pollBatch: Int32 = 16
    /// Its part on each queue pair. Message n of them all is on lane n modulo how many there are, as long as none waits.
    private let lanes: UnsafeMutablePointer<TrafficLane>
    private let laneCount: Int
    /// The completion queues of the lanes, each once.
    private let queues: UnsafeMutablePointer<UnsafeMutablePointer<ibv_cq>>
    private let queueCount: Int
    private let plan: TrafficPlan
    private let requests: UnsafeMutablePointer<ibv_send_wr>
    private let pieces: UnsafeMutablePointer<ibv_sge>
    private let completions: UnsafeMutablePointer<ibv_wc>
    /// When each message on its way was posted, by lane and number modulo depth.
    private let posted: UnsafeMutablePointer<UInt64>
    /// Sizes that messages have in turn, and how many; none where all have the same.
    private let sizes: UnsafeMutablePointer<UInt32>
    private let sizeCount: Int
    /// When it was due, of a paced stream.
    private let due: UnsafeMutablePointer<UInt64>
    private let latencies: UnsafeMutablePointer<UInt32>
    /// The same from when each was due.
    private let dueLatencies: UnsafeMutablePointer<UInt32>
    private let latencyLimit: Int
    private var latencyCount = 0
    /// Nanoseconds that the paced posts took, those that their rate gives them, and messages posted when the next was due.
    private var posting: UInt64 = 0
    private var planned = 0.0
    private var late = 0
    private var failures: [UInt32: Int] = [:]
    private var firstFailure: Completion?
    /// A completion that is none of the stream's, which it has taken.
    private(set) var foreign: Completion?
    /// The index of the queue pair that refused a request; 0 where none did.
    var refusing: Int { (0..<laneCount).first { lanes[$0].hasRefused } ?? 0 }

    /// Nanoseconds after which no turn comes: 31 years.
    private static let longest = 1e18
    /// At most so many latencies are kept; of more, the first.
    private static let mostLatencies = 1 << 24

    /// On these queue pairs, each once, of these completion queues.
    init(
        _ pairs: [UnsafeMutablePointer<ibv_qp>], _ cqs: [UnsafeMutablePointer<ibv_cq>], _ plan: TrafficPlan
    ) {
        self.plan = plan
        laneCount = pairs.count
        lanes = .allocate(capacity: pairs.count)
        for (index, qp) in pairs.enumerated() { (lanes + index).initialize(to: TrafficLane(qp)) }
        queueCount = cqs.count
        queues = .allocate(capacity: cqs.count)
        for (index, cq) in cqs.enumerated() { (queues + index).initialize(to: cq) }
        requests = .allocate(capacity: plan.batch)
        pieces = .allocate(capacity: plan.batch * plan.pieces)
        completions = .allocate(capacity: Int(TrafficStream.pollBatch))
        posted = .allocate(capacity: plan.depth * pairs.count)
        due = .allocate(capacity: plan.depth * pairs.count)
        let expected =
            plan.count > 0 ? plan.count / plan.signalEvery + 2 * pairs.count : TrafficStream.mostLatencies
        latencyLimit = plan.keepsLatencies ? min(expected, TrafficStream.mostLatencies) : 0
        latencies = .allocate(capacity: max(latencyLimit, 1))
        dueLatencies = .allocate(capacity: plan.rate > 0 ? max(latencyLimit, 1) : 1)
        sizeCount = plan.sizes.count
        sizes = .allocate(capacity: max(sizeCount, 1))
        for (index, size) in plan.sizes.enumerated() { (sizes + index).initialize(to: size) }
        for index in 0..<plan.batch { prepare(index) }
    }

    deinit {
        lanes.deallocate()
        queues.deallocate()
        requests.deallocate()
        pieces.deallocate()
        completions.deallocate()
        posted.deallocate()
        due.deallocate()
        latencies.deallocate()
        dueLatencies.deallocate()
        sizes.deallocate()
    }

    /// The parts of a request that no message changes.
    private func prepare(_ index: Int) {
        let first = pieces + index * plan.pieces
        for piece in 0..<plan.pieces {
            (first + piece).initialize(to: ibv_sge(addr: plan.local.address, length: 0, lkey: plan.local.key))
        }
        setPieces(of: index, from: plan.local.address, plan.size)
        var request = ibv_send_wr()
        request.opcode = plan.opcode
        request.sg_list = first
        request.num_sge = Int32(clamping: plan.pieces)
        request.imm_data = plan.immediate.bigEndian
        if [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(plan.opcode) {
            request.wr.atomic.remote_addr = plan.remote.address
            request.wr.atomic.rkey = plan.remote.key
            request.wr.atomic.compare_add = plan.compareAdd
            request.wr.atomic.swap = plan.swap
        } else {
            request.wr.rdma.remote_addr = plan.remote.address
            request.wr.rdma.rkey = plan.remote.key
        }
        (requests + index).initialize(to: request)
        if index > 0 { requests[index - 1].next = requests + index }
    }

    /// Warms up, then measures.
    mutating func run() throws(Errno) -> TrafficResult {
        var result = TrafficResult()
        result.size = plan.size
        result.sizes = plan.sizes
        // What is there already belongs to something else.
        for queue in 0..<queueCount {
            if ibv_poll_cq(queues[queue], 1, completions) != 0 { throw refuse(completions[0]) }
        }
        if plan.warmup > 0 {
            share(plan.warmup)
            _ = try send(plan.warmup, until: .max, keeps: false)
        }
        let wanted = plan.count > 0 ? plan.count : .max
        share(wanted)
        let processor = TrafficClock.processor()
        let start = TrafficClock.now()
        let end = plan.count > 0 ? .max : start &+ plan.duration
        let wasStopped = try send(wanted, until: end, keeps: true)
        result.elapsed = TrafficClock.now() &- start
        result.processorTime = TrafficClock.processor() &- processor
        result.messagesByPair = (0..<laneCount).map { lanes[$0].good }
        result.wasStopped = wasStopped
        result.failures = failures
        result.firstFailure = firstFailure
        result.latencies = Array(UnsafeBufferPointer(start: latencies, count: latencyCount))
        guard plan.rate > 0 else { return result }
        result.dueLatencies = Array(UnsafeBufferPointer(start: dueLatencies, count: latencyCount))
        result.pace = TrafficResult.Pace(
            asked: plan.rate, reached: plan.rate * min(1, planned / max(Double(posting), 1)), late: late)
        if planned == 0 { result.pace?.reached = plan.rate }
        return result
    }

    /// Sends the messages that the lanes have, so many together, or fewer where the time is over; returns whether `stop` ended
    /// it. Not inlined, so that scripts/check-loops finds it.
    @inline(never)
    private mutating func send(_ wanted: Int, until end: UInt64, keeps: Bool) throws(Errno) -> Bool {
        // Messages of all lanes, and the lane whose turn is next.
        var sent = 0
        var lane = 0
        var idle = 0
        var idleSince: UInt64 = 0
        var isEnding = false
        let begin = TrafficClock.now()
        // Nanoseconds from one message's turn to the next one's; what is behind time is posted at once, until it has caught up.
        let gap = plan.rate > 0 ? 1e9 / plan.rate : 0
        late = 0
        while isWorking {
            var full = 0
            while full < laneCount {
                let part = lanes + lane
                if part.pointee.sent < part.pointee.total,
                    part.pointee.sent - part.pointee.done + plan.batch <= plan.depth
                {
                    full = 0
                    // The last one, which reports that all are done, does not wait for its turn.
                    let count = min(plan.batch, part.pointee.total - part.pointee.sent)
                    var turn = begin
                    if gap > 0 {
                        let now = TrafficClock.now()
                        let wait = min(Double(sent) * gap, TrafficStream.longest)
                        turn &+= UInt64(wait)
                        guard now >= turn || isEnding else { break }
                        if !isEnding { (posting, planned) = (now &- begin, wait) }
                        if Double(now &- begin) > wait + gap * Double(count), now > turn { late += count }
                        turn = min(turn, now)
                    }
                    try post(lane, count, keeps: keeps, due: turn)
                    sent += count
                } else {
                    full += 1
                }
                lane = lane + 1 == laneCount ? 0 : lane + 1
            }
            let found = try poll(keeps: keeps, &isEnding)
            idle = found > 0 || !isWaiting ? 0 : idle &+ 1
            if idle & 1023 == 1 { try checkPatience(idle, &idleSince) }
            if !isEnding, isOver(end) {
                isEnding = true
                for lane in 0..<laneCount { lanes[lane].end(every: plan.signalEvery) }
            }
        }
        return sent < wanted && end == .max && failures.isEmpty
    }

    /// Gives each lane its part of so many messages.
    private func share(_ wanted: Int) {
        let (each, rest) = wanted.quotientAndRemainder(dividingBy: laneCount)
        for index in 0..<laneCount {
            lanes[index] = TrafficLane(lanes[index].qp)
            lanes[index].total = wanted == .max ? .max : each + (index < rest ? 1 : 0)
        }
    }

    /// Whether some lane has messages to send or to wait for.
    @inline(__always)
    private var isWorking: Bool {
        for lane in 0..<laneCount where lanes[lane].done < lanes[lane].total { return true }
        return false
    }

    /// Whether some lane's completion can be waited for: of what reports nothing none comes.
    @inline(__always)
    private var isWaiting: Bool {
        for lane in 0..<laneCount where lanes[lane].reporting(every: plan.signalEvery) > lanes[lane].done {
            return true
        }
        return false
    }

    /// Takes what has completed; returns how many completions there were. After a bad one nothing new is sent.
    @inline(__always)
    private mutating func poll(keeps: Bool, _ isEnding: inout Bool) throws(Errno) -> Int {
        var all = 0
        for queue in 0..<queueCount {
            let found = Int(ibv_poll_cq(queues[queue], TrafficStream.pollBatch, completions))
            guard found >= 0 else { throw Errno(EIO) }
            all += found
            for index in 0..<found {
                let (lane, number) = TrafficLane.position(of: completions[index].wr_id)
                guard lane < laneCount, completions[index].qp_num == lanes[lane].qp.pointee.qp_num,
                    number >= lanes[lane].done, number < lanes[lane].sent
                else { throw refuse(completions[index]) }
                if completions[index].status == IBV_WC_SUCCESS {
                    lanes[lane].good += number + 1 - lanes[lane].done
                    if keeps { keep(lane, number) }
                } else {
                    // What was before the first bad one is done. The connection is over: the rest is flushed.
                    if !lanes[lane].hasFailed { lanes[lane].good += number - lanes[lane].done }
                    lanes[lane].hasFailed = true
                    // The message's number among all lanes' is what a script knows.
                    completions[index].wr_id = UInt64(number * laneCount + lane)
                    note(completions[index])
                    lanes[lane].total = lanes[lane].sent
                    isEnding = true
                    for other in 0..<laneCount { lanes[other].end(every: plan.signalEvery) }
                }
                lanes[lane].done = number + 1
            }
        }
        return all
    }

    @inline(__always)
    private func isOver(_ end: UInt64) -> Bool {
        if let stop = plan.stop, stop.pointee != 0 { return true }
        return end != .max && TrafficClock.now() >= end
    }

    /// How long a stopped stream waits for requests that are on their way, in nanoseconds.
    private static let grace: UInt64 = 200_000_000

    /// ETIMEDOUT where nothing has come for too long; EINTR where `stop` was set meanwhile.
    private func checkPatience(_ idle: Int, _ since: inout UInt64) throws(Errno) {
        let now = TrafficClock.now()
        if idle == 1 { since = now }
        if now &- since > plan.patience { throw Errno(ETIMEDOUT) }
        if let stop = plan.stop, stop.pointee != 0, now &- since > TrafficStream.grace { throw Errno(EINTR) }
    }

    /// Posts a lane's next `count` requests; every so many-th and the last of all report their completion.
    @inline(__always)
    private func post(_ lane: Int, _ count: Int, keeps: Bool, due turn: UInt64) throws(Errno) {
        let inline = plan.isInline ? IBV_SEND_INLINE.rawValue : 0
        let (first, last) = (lanes[lane].sent, lanes[lane].total)
        for index in 0..<count {
            let number = first + index
            let reports = (number + 1) % plan.signalEvery == 0 || number + 1 == last
            requests[index].wr_id = TrafficLane.id(lane, number)
            requests[index].send_flags = inline | (reports ? IBV_SEND_SIGNALED.rawValue : 0)
            if plan.slots > 1 || sizeCount > 0 { setMessage(of: index, number * laneCount + lane) }
            if latencyLimit > 0, keeps, reports {
                let place = lane * plan.depth + number % plan.depth
                posted[place] = TrafficClock.now()
                due[place] = turn
            }
        }
        let after = requests[count - 1].next
        requests[count - 1].next = nil
        var refused: UnsafeMutablePointer<ibv_send_wr>?
        let result = ibv_post_send(lanes[lane].qp, requests, &refused)
        requests[count - 1].next = after
        guard result == 0 else {
            lanes[lane].hasRefused = true
            throw Errno(result > 0 ? result : EIO)
        }
        lanes[lane].sent = first + count
    }

    /// The place and size of a message, where not all have the same.
    private func setMessage(of index: Int, _ number: Int) {
        let offset = plan.slots > 1 ? UInt64(number % plan.slots) * UInt64(plan.size) : 0
        setPieces(of: index, from: plan.local.address &+ offset, sizeCount > 0 ? sizes[number % sizeCount] : plan.size)
        if plan.slots > 1 { requests[index].wr.rdma.remote_addr = plan.remote.address &+ offset }
    }

    /// Divides `size` bytes from `address` among the pieces of a request.
    @inline(__always)
    private func setPieces(of index: Int, from address: UInt64, _ size: UInt32) {
        let count = plan.pieces, part = count > 1 ? size / UInt32(truncatingIfNeeded: count) : size
        var piece = pieces + index * count
        var (next, left) = (address, size)
        for _ in 1..<count {
            piece.pointee.addr = next
            piece.pointee.length = part
            piece += 1
            next &+= UInt64(part)
            left -= part
        }
        piece.pointee.addr = next
        piece.pointee.length = left
    }

    @inline(__always)
    private mutating func keep(_ lane: Int, _ number: Int) {
        guard latencyCount < latencyLimit else { return }
        let now = TrafficClock.now()
        let place = lane * plan.depth + number % plan.depth
        latencies[latencyCount] = UInt32(clamping: now &- posted[place])
        if plan.rate > 0 { dueLatencies[latencyCount] = UInt32(clamping: now &- due[place]) }
        latencyCount += 1
    }

    private mutating func refuse(_ completion: ibv_wc) -> Errno {
        foreign = Completion(completion)
        return .protocolError
    }

    private mutating func note(_ completion: ibv_wc) {
        failures[completion.status.rawValue, default: 0] += 1
        if firstFailure == nil { firstFailure = Completion(completion) }
    }
}

/// Clocks that cost no system call.
enum TrafficClock {
    /// CLOCK_MONOTONIC, nanoseconds.
    @inline(__always)
    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// The thread's processor time, nanoseconds; a system call.
    static func processor() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
