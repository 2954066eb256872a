import CKernel
import Glibc
import Kernel

/// A message to and fro between two queue pairs, one at a time: half of each round trip is its latency.
public struct PingPongPlan: Sendable {
    /// RDMA writes, whose last byte the peer watches; or else sends.
    public var isWrite = true
    /// Bytes of a message, at least one.
    public var size: UInt32 = 8
    /// How many round trips are measured; 0 for as many as fit in `duration`.
    public var count = 1000
    /// Nanoseconds that are measured, by the side that begins, where `count` is 0.
    public var duration: UInt64 = 0
    /// How many come before.
    public var warmup = 100
    /// Whether this side begins.
    public var isFirst = true
    /// Whether the bytes are taken at once (IBV_SEND_INLINE).
    public var isInline = false
    /// Memory that messages are sent from: its address, and its key. Its last byte is changed with each message.
    public var from: (address: UInt64, key: UInt32) = (0, 0)
    /// Memory that the peer's messages come to: its address, and its key.
    public var into: (address: UInt64, key: UInt32) = (0, 0)
    /// The peer's memory, for writes.
    public var remote: (address: UInt64, key: UInt32) = (0, 0)
    /// Nanoseconds without a message after which the peer counts as lost.
    public var patience: UInt64 = 10_000_000_000
    /// Looked at now and then: it ends early where it is not 0.
    public nonisolated(unsafe) var stop: UnsafePointer<Int32>?
    /// What is done while nothing comes, and its argument; a simulated bench lets the peer run. No closure: calling one
    /// retains it.
    public var idle: (@convention(c) (UnsafeRawPointer) -> Void)?
    /// See `idle`.
    public nonisolated(unsafe) var idleArgument: UnsafeRawPointer?

    /// Writes of 8 bytes.
    public init() {}

    /// Receive requests that are there before the first message.
    var receives: Int { count > 0 ? min(64, count + warmup) : 1 }
}

/// The loop of one side. As in ``TrafficStream`` nothing is allocated, retained or released in it.
struct PingPong: ~Copyable {
    /// At most so many latencies are kept; of more, the first.
    private static let mostLatencies = 1 << 24
    /// The last byte of the last message, where it is not known before which that is.
    private static let final: UInt8 = 255
    private let qp: UnsafeMutablePointer<ibv_qp>
    private let plan: PingPongPlan
    private let sendQueue: UnsafeMutablePointer<ibv_cq>
    private let receiveQueue: UnsafeMutablePointer<ibv_cq>
    private let request: UnsafeMutablePointer<ibv_send_wr>
    private let receive: UnsafeMutablePointer<ibv_recv_wr>
    private let pieces: UnsafeMutablePointer<ibv_sge>
    private let completions: UnsafeMutablePointer<ibv_wc>
    private let latencies: UnsafeMutablePointer<UInt32>
    private let last: (out: UnsafeMutablePointer<UInt8>, into: UnsafeMutablePointer<UInt8>)
    private let latencyLimit: Int
    private var latencyCount = 0
    /// Whether the peer's last message has come, where it says so.
    private var isOver = false
    /// Sends whose completion has not come.
    private var pending = 0
    private var failure: Completion?

    /// nil where the memory is at no address.
    init?(
        _ qp: UnsafeMutablePointer<ibv_qp>, _ sendQueue: UnsafeMutablePointer<ibv_cq>,
        _ receiveQueue: UnsafeMutablePointer<ibv_cq>, _ plan: PingPongPlan
    ) {
        let tail = UInt64(plan.size) - 1
        guard let out = UnsafeMutablePointer<UInt8>(bitPattern: UInt(plan.from.address &+ tail)),
            let into = UnsafeMutablePointer<UInt8>(bitPattern: UInt(plan.into.address &+ tail))
        else { return nil }
        last = (out, into)
        self.qp = qp
        self.plan = plan
        self.sendQueue = sendQueue
        self.receiveQueue = receiveQueue
        request = .allocate(capacity: 1)
        receive = .allocate(capacity: 1)
        pieces = .allocate(capacity: 2)
        completions = .allocate(capacity: 16)
        latencyLimit = plan.count > 0 ? plan.count : PingPong.mostLatencies
        latencies = .allocate(capacity: latencyLimit)
        (pieces + 0).initialize(to: ibv_sge(addr: plan.from.address, length: plan.size, lkey: plan.from.key))
        (pieces + 1).initialize(to: ibv_sge(addr: plan.into.address, length: plan.size, lkey: plan.into.key))
        var send = ibv_send_wr()
        send.opcode = plan.isWrite ? IBV_WR_RDMA_WRITE : IBV_WR_SEND
        send.sg_list = pieces
        send.num_sge = 1
        send.send_flags = IBV_SEND_SIGNALED.rawValue | (plan.isInline ? IBV_SEND_INLINE.rawValue : 0)
        send.wr.rdma.remote_addr = plan.remote.address
        send.wr.rdma.rkey = plan.remote.key
        request.initialize(to: send)
        var take = ibv_recv_wr()
        take.sg_list = pieces + 1
        take.num_sge = 1
        receive.initialize(to: take)
    }

    deinit {
        request.deallocate()
        receive.deallocate()
        pieces.deallocate()
        completions.deallocate()
        latencies.deallocate()
    }

    /// Receive requests must be there before the peer's first message: both sides call this, and meet, before ``run()``.
    static func prepare(_ qp: UnsafeMutablePointer<ibv_qp>, _ plan: PingPongPlan) throws(Errno) {
        guard !plan.isWrite else {
            UnsafeMutablePointer<UInt8>(bitPattern: UInt(plan.into.address &+ UInt64(plan.size) &- 1))?.pointee = 0
            return
        }
        var piece = ibv_sge(addr: plan.into.address, length: plan.size, lkey: plan.into.key)
        for _ in 0..<plan.receives {
            let result = withUnsafeMutablePointer(to: &piece) { list in
                var request = ibv_recv_wr()
                request.sg_list = list
                request.num_sge = 1
                var refused: UnsafeMutablePointer<ibv_recv_wr>?
                return ibv_post_recv(qp, &request, &refused)
            }
            guard result == 0 else { throw Errno(result > 0 ? result : EIO) }
        }
    }

    mutating func run() throws(Errno) -> (latencies: [UInt32], failure: Completion?) {
        var posted = plan.receives
        if plan.count > 0 { try exchange(plan.warmup + plan.count, &posted) } else { try exchange() }
        try drain()
        let count = failure == nil ? latencyCount : 0
        return (Array(UnsafeBufferPointer(start: latencies, count: count)), failure)
    }

    /// The loop itself; not inlined, so that scripts/check-loops finds it.
    @inline(never)
    private mutating func exchange(_ total: Int, _ posted: inout Int) throws(Errno) {
        var before = TrafficClock.now()
        for number in 0..<total {
            if plan.isFirst { try send(PingPong.mark(number)) }
            guard try arrives(PingPong.mark(number)) else { break }
            if !plan.isFirst { try send(PingPong.mark(number)) }
            if !plan.isWrite, posted < total {
                posted += 1
                try postReceive()
            }
            keep(number, since: &before)
        }
    }

    /// The loop that one side ends when its time is over: its last message says that it is the last. A receive request is
    /// posted before the answer it must be there for, so that none is left over.
    @inline(never)
    private mutating func exchange() throws(Errno) {
        var before = TrafficClock.now()
        var end = UInt64.max
        var number = 0
        while !isOver {
            if number == plan.warmup { end = before &+ plan.duration }
            let isLast = plan.isFirst && before >= end
            if plan.isFirst { try send(isLast ? PingPong.final : PingPong.mark(number)) }
            guard try arrives(PingPong.mark(number)) else { break }
            if !plan.isWrite, !isOver { try postReceive() }
            if !plan.isFirst { try send(isOver ? PingPong.final : PingPong.mark(number)) }
            keep(number, since: &before)
            number &+= 1
        }
    }

    /// The last byte of a message: never 0, which the memory begins with, and no two in a row are the same.
    @inline(__always)
    private static func mark(_ number: Int) -> UInt8 { UInt8(truncatingIfNeeded: number % 254 + 1) }

    @inline(__always)
    private mutating func keep(_ number: Int, since before: inout UInt64) {
        let now = TrafficClock.now()
        if number >= plan.warmup, latencyCount < latencyLimit {
            latencies[latencyCount] = UInt32(clamping: (now &- before) / 2)
            latencyCount &+= 1
        }
        before = now
    }

    @inline(__always)
    private mutating func postReceive() throws(Errno) {
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        let result = ibv_post_recv(qp, receive, &refused)
        guard result == 0 else { throw Errno(result > 0 ? result : EIO) }
    }

    @inline(__always)
    private mutating func send(_ mark: UInt8) throws(Errno) {
        last.out.pointee = mark
        var refused: UnsafeMutablePointer<ibv_send_wr>?
        let result = ibv_post_send(qp, request, &refused)
        guard result == 0 else { throw Errno(result > 0 ? result : EIO) }
        pending += 1
        if pending >= 16 { try takeSends() }
    }

    /// Whether what came last is the peer's last message.
    @inline(__always)
    private mutating func noteEnd() { if plan.count == 0, sys_load8(last.into) == PingPong.final { isOver = true } }

    /// Waits for the peer's message; false where there will be none.
    @inline(__always)
    private mutating func arrives(_ wanted: UInt8) throws(Errno) -> Bool {
        var spins = 0
        var since: UInt64 = 0
        while true {
            if plan.isWrite {
                noteEnd()
                if isOver || sys_load8(last.into) == wanted { return true }
            } else {
                let found = Int(ibv_poll_cq(receiveQueue, 1, completions))
                guard found >= 0 else { throw Errno(EIO) }
                if found > 0, completions[0].opcode.rawValue & IBV_WC_RECV.rawValue != 0 {
                    noteEnd()
                    return isGood(found)
                }
                if found > 0 { guard isGood(found) else { return false } }
            }
            spins &+= 1
            if spins == 1 || spins & 1023 == 0 {
                // No clock at first: most messages come before the second look.
                if spins > 1 {
                    let now = TrafficClock.now()
                    if since == 0 { since = now }
                    if now &- since > plan.patience { throw Errno(ETIMEDOUT) }
                }
                if let stop = plan.stop, stop.pointee != 0 { throw Errno(EINTR) }
                if failure == nil, pending > 0 { try takeSends() }
                if failure != nil { return false }
            }
            if let idle = plan.idle, let argument = plan.idleArgument { idle(argument) }
        }
    }

    private mutating func isGood(_ count: Int) -> Bool {
        for index in 0..<count {
            if completions[index].opcode.rawValue & IBV_WC_RECV.rawValue == 0 { pending -= 1 }
            if completions[index].status != IBV_WC_SUCCESS, failure == nil { failure = Completion(completions[index]) }
        }
        return failure == nil
    }

    /// Polls a completion for each signalled send, which frees the entries of the send queue.
    private mutating func takeSends() throws(Errno) {
        guard plan.isWrite || sendQueue != receiveQueue else { return }
        let found = Int(ibv_poll_cq(sendQueue, 16, completions))
        guard found >= 0 else { throw Errno(EIO) }
        _ = isGood(found)
    }

    private mutating func drain() throws(Errno) {
        let start = TrafficClock.now()
        while pending > 0, failure == nil, TrafficClock.now() &- start < plan.patience {
            if let stop = plan.stop, stop.pointee != 0 { throw Errno(EINTR) }
            let found = Int(ibv_poll_cq(sendQueue, 16, completions))
            guard found >= 0 else { throw Errno(EIO) }
            _ = isGood(found)
        }
    }
}
