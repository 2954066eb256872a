public import CKernel

/// A stream of messages from one queue pair, or from several in turn. Defaults are perftest's.
public struct TrafficPlan: Sendable {
    /// What each message does.
    public var opcode = IBV_WR_RDMA_WRITE
    /// Bytes of a message; 8 for atomics. Where there are several sizes, the largest.
    public var size: UInt32 = 4096
    /// Sizes that messages have in turn; empty where all have `size`.
    public var sizes: [UInt32] = []
    /// How many are measured; 0 for as many as fit in `duration`.
    public var count = 5000
    /// Nanoseconds that are measured, where `count` is 0.
    public var duration: UInt64 = 0
    /// How many come before the clock starts.
    public var warmup = 0
    /// How many may be on their way on each queue pair.
    public var depth = 128
    /// How many are posted with one call.
    public var batch = 1
    /// Every so many-th one of each queue pair reports its completion.
    public var signalEvery = 64
    /// Whether the bytes are taken at once (IBV_SEND_INLINE).
    public var isInline = false
    /// Messages per second at most; 0 for no limit.
    public var rate = 0.0
    /// Whether the time from post to completion is kept of each message that reports it.
    public var keepsLatencies = false
    /// Local memory: address and key.
    public var local: (address: UInt64, key: UInt32) = (0, 0)
    /// Remote memory: address and key; for sends unused.
    public var remote: (address: UInt64, key: UInt32) = (0, 0)
    /// How many slots of `size` bytes the messages take in turn, side by side, at both ends.
    public var slots = 1
    /// How many scatter/gather entries a request has, for equal parts of its bytes; the last one has the remainder.
    public var pieces = 1
    /// Immediate data, and what atomics compare, add or swap.
    public var immediate: UInt32 = 0
    /// See `immediate`.
    public var compareAdd: UInt64 = 1
    /// See `immediate`.
    public var swap: UInt64 = 0
    /// Nanoseconds without any completion after which the peer counts as lost.
    public var patience: UInt64 = 10_000_000_000
    /// Looked at now and then: the stream ends early where it is not 0.
    public nonisolated(unsafe) var stop: UnsafePointer<Int32>?

    /// perftest's.
    public init() {}

    /// What cannot work.
    public struct Mistake: Error {
        /// What, and why.
        public let message: String
    }

    /// Why nothing may come back, as far as the plan shows it.
    var silence: String {
        let wantsReceive = [IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_WRITE_WITH_IMM].contains(opcode)
        guard wantsReceive else { return "the peer is lost" }
        return "the peer has posted no receive (then it is asked again, for ever with rnr_retry = 7), or is lost"
    }

    /// Completions that one queue pair may have waiting at a time.
    var reports: Int { signalEvery == 1 ? depth : min(depth, (depth + signalEvery - 1) / signalEvery + 1) }

    /// Refuses what could not end.
    public func check() throws(Mistake) {
        guard batch <= depth else { throw Mistake(message: "batch \(batch) is more than depth \(depth)") }
        guard signalEvery <= depth - batch + 1 else {
            throw Mistake(
                message:
                    "signal_every \(signalEvery) is more than depth - batch + 1, \(depth - batch + 1): nothing would "
                    + "report before the queue is full")
        }
        let isAtomic = [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(opcode)
        guard !isAtomic || size == 8 else { throw Mistake(message: "an atomic has 8 bytes, not \(size)") }
        guard !isAtomic || slots == 1 else { throw Mistake(message: "atomics have one slot") }
        let least = Int(sizes.min() ?? size)
        guard pieces == 1 || (!isAtomic && least >= pieces) else {
            throw Mistake(
                message: isAtomic
                    ? "an atomic has one piece" : "a message of \(least) bytes cannot be \(pieces) pieces of some bytes"
            )
        }
        guard sizes.isEmpty || slots == 1 || slots % sizes.count == 0 else {
            throw Mistake(
                message:
                    "\(slots) slots are no multiple of \(sizes.count) sizes: a slot would have messages of several")
        }
        guard rate >= 0, rate.isFinite, rate == 0 || rate >= 1e-3 else {
            throw Mistake(message: "a rate is messages per second, not \(rate)")
        }
    }
}

/// What came of a stream.
public struct TrafficResult: Sendable {
    /// Messages measured on each queue pair.
    public var messagesByPair: [Int] = []
    /// Messages measured.
    public var messages: Int { messagesByPair.reduce(0, +) }
    /// Their bytes.
    public var bytes: UInt64 {
        guard !sizes.isEmpty else { return UInt64(messages) * UInt64(size) }
        var bytes: UInt64 = 0
        for (pair, messages) in messagesByPair.enumerated() {
            let own = sizes.indices.map { UInt64(sizes[($0 * messagesByPair.count + pair) % sizes.count]) }
            let (rounds, rest) = messages.quotientAndRemainder(dividingBy: sizes.count)
            bytes += UInt64(rounds) * own.reduce(0, +) + own.prefix(rest).reduce(0, +)
        }
        return bytes
    }
    /// Bytes of a message; of several sizes the largest.
    public var size: UInt32 = 0
    /// See ``TrafficPlan/sizes``.
    public var sizes: [UInt32] = []
    /// From the first post to the last completion, nanoseconds.
    public var elapsed: UInt64 = 0
    /// Processor time of the thread meanwhile, nanoseconds.
    public var processorTime: UInt64 = 0
    /// Nanoseconds of each message that was timed, from its post to its completion, in order.
    public var latencies: [UInt32] = []
    /// Of a paced stream the same from when each message was due: a message that had to wait for its turn has waited. Without
    /// it a stall is counted once, though it delays every message behind it ("coordinated omission").
    public var dueLatencies: [UInt32] = []
    /// How well a paced stream kept its rate; nil where it had none.
    public var pace: Pace?

    /// A paced stream's rate.
    public struct Pace: Sendable {
        /// Messages per second that it was to post.
        public var asked: Double
        /// That it posted; never more.
        public var reached: Double
        /// Messages that were posted when the next one was due already.
        public var late: Int
        /// Whether it fell behind by more than 1 %.
        public var isMissed: Bool { reached < 0.99 * asked }
    }
    /// How many completions ended how badly: by status.
    public var failures: [UInt32: Int] = [:]
    /// The first bad one.
    public var firstFailure: Completion?
    /// Whether `stop` ended it early.
    public var wasStopped = false

    /// An empty one.
    public init() {}
}
