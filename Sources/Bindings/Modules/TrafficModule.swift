import CKernel
import CLuaShims
import Devices
import Histogram
import Kernel
public import LuaKit

/// Latencies of a stream, as a histogram that answers any quantile.
public struct LatencyHistogram: ~Copyable, LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "latency histogram" }
    /// Closing only frees its memory.
    public private(set) var isOpen = true
    let histogram: Histogram<UInt64>
    /// The time from which latencies are counted; nil where only one is possible.
    let from: Origin?
    /// Distinguishes it from the other histogram of the same stream.
    var label: String { from.map { " from \($0.rawValue)" } ?? "" }

    /// Start of a paced stream's latencies.
    enum Origin: String {
        /// The time when the message was posted.
        case post
        /// The time when the message was due by the asked rate.
        case due
    }
    /// Approximate size of one histogram, bytes.
    static let size = 128 << 10

    init(_ latencies: [UInt32], from: Origin? = nil) {
        self.from = from
        var histogram = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
        for latency in latencies { histogram.record(UInt64(latency)) }
        self.histogram = histogram
    }

    /// See `LuaObject`.
    public mutating func close() { isOpen = false }
}

/// Bytes of a message, up to 1 GiB.
private let messageSize: ClosedRange<Int64> = 0...0x4000_0000
/// Milliseconds, up to an hour.
private let duration: ClosedRange<Int64> = 1...3_600_000
/// Message sizes in bytes, used in turn.
private let sizesKey = Key<[UInt32]?>(
    "sizes", .list(.size(messageSize), 1...4096),
    "or several sizes, which messages have in turn; their places are as far apart as the largest")

private enum StreamKeys {
    static let qp = Key<Object<QueuePair>?>(
        "qp", "a connected queue pair, whose completions nobody else takes; or `qps`")
    static let qps = Key<[Object<QueuePair>]?>(
        "qps", .list(.object(QueuePair.self), 1...256),
        "or several, which have the messages in turn, in the same memory; depth, batch and signal_every are each one's")
    static let op = Key<UInt32>("opcode", .choice(operations), "what each message does").was("op")
    static let mr = Key<Object<MemoryRegion>>("mr", "the local memory region").was("from")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let size = Key<UInt32?>("size", .size(messageSize), "bytes of a message; default 4096, and 8 for atomics")
    static let count = Key<Int?>(
        "count", .integer(1...Int64(Int32.max)), "how many messages; default 5000, unless `duration_ms` is given")
    static let duration = Key<UInt64?>("duration_ms", .time(Bindings.duration), "or for how long").was("duration")
    static let warmup = Key<Int>(
        "warmup", .integer(0...Int64(Int32.max)), default: 0, "how many before the clock starts")
    static let depth = Key<Int?>(
        "depth", .integer(1...65536), "how many may be on their way; default: 128, or the queue pair's max_send_wr")
    static let batch = Key<Int>("batch", .integer(1...4096), default: 1, "how many are posted with one call")
    static let signalEvery = Key<Int?>(
        "signal_every", .integer(1...65536), "every so many-th reports its completion; default: half of depth")
    static let inline = Key<Bool>("inline", default: false, "the bytes are taken at once")
    static let rate = Key<Double?>(
        "rate", "messages per second, at most; one that is late is posted at once, until it has caught up")
    static let latency = Key<Bool>(
        "latency", default: false,
        "keep the time from post to completion, and with `rate` from when each was due; sets signal_every to 1")
    static let slots = Key<Int>(
        "slots", .integer(1...(1 << 30)), default: 1, "messages lie in so many places side by side, in turn")
    static let pieces = Key<Int>(
        "pieces", .integer(1...256), default: 1,
        "scatter/gather entries of a request: its bytes are so many equal parts, the last one with what is left; at most the "
            + "queue pair's max_send_sge")
    static let patience = Key<UInt64>(
        "timeout_ms", .time(Bindings.duration), default: 10_000,
        "so long without a completion: the peer is lost"
    ).was("patience")
    static let all: [any TableKey] = [
        qp, qps, op, mr, offset, PeerKeys.remoteAddress, PeerKeys.rkey, size, count, duration, warmup, depth, batch,
        signalEvery, inline,
        rate,
        latency, slots, pieces, patience, sizesKey,
    ]
}

private enum PingPongKeys {
    static let qp = Key<Object<QueuePair>>("qp", "a connected queue pair, whose completions nobody else takes")
    static let isWrite = Key<Bool>(
        "opcode", .choice([("rdma_write", 1), ("send", 0)]), "RDMA writes, whose last byte is watched; or sends"
    ).was("op")
    static let starts = Key<Bool>("starts", "whether this side begins").was("first")
    static let mr = Key<Object<MemoryRegion>>("mr", "host memory that messages are sent from and come to")
    static let sendOffset = Key<UInt64>(
        "send_offset", .size(0...Int64.max), default: 0, "where in it they are sent from"
    ).was("from")
    static let receiveOffset = Key<UInt64>(
        "recv_offset", .size(0...Int64.max), "where in it the peer's come to"
    ).was("into")
    static let remoteAddress = Key<UInt64?>("remote_addr", "where the peer's come to, which writes need")
    static let rkey = Key<UInt32?>("rkey", "the peer's region's key, which writes need")
    static let size = Key<UInt32>("size", .size(1...messageSize.upperBound), default: 8, "bytes of a message")
    static let count = Key<Int?>(
        "count", .integer(1...(1 << 24)), "how many round trips; default 1000, unless `duration_ms` is given")
    static let warmup = Key<Int>("warmup", .integer(0...(1 << 24)), default: 100, "how many before them")
    static let inline = Key<Bool>("inline", default: false, "the bytes are taken at once")
    static let patience = Key<UInt64>(
        "timeout_ms", .time(Bindings.duration), default: 10_000, "so long without a message: the peer is lost"
    ).was("patience")
    static let duration = Key<UInt64?>(
        "duration_ms", .time(Bindings.duration),
        "or for how long, which the side that begins measures; both sides must say so"
    ).was("duration")
    static let all: [any TableKey] = [
        qp, isWrite, starts, mr, sendOffset, receiveOffset, remoteAddress, rkey, size, count, warmup, inline, patience,
        duration,
    ]
}

private enum StampKeys {
    static let memory = Key<Object<MappedMemory>>("memory", "host memory, or a device's region")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let size = Key<Int?>("size", .size(1...messageSize.upperBound), "bytes of a message; or `sizes`")
    static let slots = Key<Int>("slots", .integer(1...(1 << 30)), default: 1, "how many messages lie side by side")
    static let first = Key<UInt64>("first_message", default: 0, "number of the first one").was("first")
    static let seed = Key<UInt64>("seed", default: 0, "streams with different seeds have different bytes")
    static let all: [any TableKey] = [memory, offset, size, slots, first, seed, sizesKey]
}

/// Data loops, native from the first post to the last completion.
let trafficModule = Module(
    "traffic", "Streams of messages: posted, polled and timed natively.",
    functions: [
        Function(
            "stream", [Parameter("plan", .record(StreamKeys.all), .required, "what is sent, and how")],
            returns: [
                .record(streamRecord), .optional(.object(LatencyHistogram.self)),
                .optional(.object(LatencyHistogram.self)),
            ], effects: [.dma],
            errors: [("ETIMEDOUT", "no completion came for too long"), ("EINVAL", "not connected")],
            "Sends messages from a queue pair, or from several in turn, as fast as it goes. Returns what became of them; with `latency` a histogram from "
                + "each post to its completion; with `rate` too, another one from when each was due, which has the time that "
                + "messages waited because others were late. A rate that is missed by more than 1 % is a warning of the case.",
            entry: { Call($0, $1).run(stream) }),
        Function(
            "ping_pong", [Parameter("plan", .record(PingPongKeys.all), .required, "what goes to and fro")],
            returns: [.record(pingPongRecord), .object(LatencyHistogram.self)], effects: [.dma],
            errors: [("ETIMEDOUT", "the peer is lost"), ("EINVAL", "not connected")],
            "Messages to and fro between two roles, one at a time; both call it. Returns what became of them, and a histogram of "
                + "half of each round trip.",
            entry: { Call($0, $1).run(pingPong) }),
        Function(
            "stamp", [Parameter("where", .record(StampKeys.all), .required, "which messages, and where")],
            errors: [("EINVAL", "outside the memory")],
            "Fills memory with messages whose bytes tell which message they belong to.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[0].table
                    try stamp(request).write(
                        to: request[StampKeys.memory].pointee, at: request[StampKeys.offset],
                        stop: UnsafePointer(lk_interruption(call.state)))
                    return call.nothing
                }
            }),
        Function(
            "check", [Parameter("where", .record(StampKeys.all), .required, "which messages, and where")],
            returns: [.optional(.record(mismatchRecord))], errors: [("EINVAL", "outside the memory")],
            "Looks whether memory holds what traffic.stamp wrote elsewhere: nil, or the first wrong byte.",
            entry: { Call($0, $1).run(check) }),
    ], classes: [latencyClass])

private let latencyClass = ObjectClass(
    LatencyHistogram.luaName, type: "traffic.latency", short: "latency",
    "Latencies in nanoseconds, to three digits.",
    methods: [
        Function(
            "quantile", [Parameter("q", .number, .required, "0 to 1: 0.5, 0.999")], returns: [.integer],
            "What so many of them did not exceed; of none there is no quantile.",
            entry: {
                Call($0, $1).run { call in
                    let q = call[1].double
                    guard (0...1).contains(q) else {
                        throw ErrorValue(kind: .argument, "latency:quantile: a quantile is 0 to 1, not \(q)")
                    }
                    let histogram = call[0].object(LatencyHistogram.self).pointee.histogram
                    guard histogram.totalCount > 0 else {
                        throw ErrorValue(
                            kind: .argument, "latency:quantile: of no latencies there is none; look at count first")
                    }
                    return call.push(Int64(clamping: histogram.valueAtPercentile(q * 100)))
                }
            }),
        Function(
            "summary", returns: [.record(summaryRecord)], "How many there are, and their quantiles.",
            entry: {
                Call($0, $1).run { call in
                    let latencies = call[0].object(LatencyHistogram.self)
                    return call.push(
                        LatencySummary(histogram: latencies.pointee.histogram, origin: latencies.pointee.from),
                        as: summaryRecord)
                }
            }),
    ],
    close: { closeObject($0, $1, $2, LatencyHistogram.self) }, destroy: { destroyObject($0, LatencyHistogram.self) })

/// The queue pairs of a stream.
private func pairs(_ request: Table) throws -> [Object<QueuePair>] {
    switch (request[StreamKeys.qp], request[StreamKeys.qps]) {
    case (let pair?, nil): return [pair]
    case (nil, let pairs?): return pairs
    default: throw ErrorValue(kind: .argument, "traffic.stream: give qp or qps, one of them")
    }
}

private func plan(_ request: Table, _ pairs: [Object<QueuePair>], _ call: Call) throws -> TrafficPlan {
    var plan = TrafficPlan()
    let mr = request[StreamKeys.mr]
    plan.opcode = ibv_wr_opcode(rawValue: request[StreamKeys.op])
    plan.local = (mr.pointee.start &+ request[StreamKeys.offset], mr.pointee.lkey)
    plan.remote = try PeerKeys.memory(request, of: plan.opcode, "traffic.stream", "plan")
    plan.size = request[StreamKeys.size] ?? 4096
    let count = request[StreamKeys.count]
    if let count { plan.count = count }
    if let duration = request[StreamKeys.duration] {
        guard count == nil else {
            throw ErrorValue(kind: .argument, "traffic.stream: give count or duration_ms, not both")
        }
        plan.count = 0
        plan.duration = duration * 1_000_000
    }
    plan.warmup = request[StreamKeys.warmup]
    let places = pairs.map { $0.pointee.sendCapacity }.min() ?? 0
    plan.depth = request[StreamKeys.depth] ?? max(1, min(128, places))
    guard plan.depth <= places else {
        throw ErrorValue(
            kind: .argument,
            "traffic.stream: depth \(plan.depth) is more than the \(places) places of the send queue; create the queue "
                + "pair with max_send_wr = \(plan.depth)")
    }
    plan.batch = request[StreamKeys.batch]
    plan.keepsLatencies = request[StreamKeys.latency]
    plan.signalEvery = plan.keepsLatencies ? 1 : request[StreamKeys.signalEvery] ?? max(1, plan.depth / 2)
    plan.isInline = request[StreamKeys.inline]
    if let rate = request[StreamKeys.rate] {
        plan.rate = rate
        guard rate != 0 else {
            throw ErrorValue(
                kind: .argument, "traffic.stream: a rate is messages per second, more than 0; leave it out for no pace"
            )
        }
    }
    plan.slots = request[StreamKeys.slots]
    plan.pieces = request[StreamKeys.pieces]
    let most = pairs.map { $0.pointee.sendPieces }.min() ?? 0
    guard plan.pieces <= most else {
        throw ErrorValue(
            kind: .argument,
            "traffic.stream: \(plan.pieces) pieces are more than a request of this queue pair may have (\(most)); create it "
                + "with max_send_sge = \(plan.pieces)")
    }
    plan.patience = request[StreamKeys.patience] * 1_000_000
    if let sizes = request[sizesKey] {
        try refuseBoth(request[StreamKeys.size] != nil, "traffic.stream")
        plan.sizes = sizes
        plan.size = sizes.max() ?? 0
    }
    plan.stop = UnsafePointer(lk_interruption(call.state))
    return plan
}

private func stream(_ call: Call) throws -> CInt {
    let request = call[0].table
    let pairs = try pairs(request)
    let plan = try plan(request, pairs, call)
    do throws(TrafficPlan.Mistake) {
        try plan.check()
        try QueuePair.check(plan, on: pairs)
    } catch {
        throw ErrorValue(kind: .argument, "traffic.stream: \(error.message)")
    }
    try call.touch(
        Int(clamping: UInt64(plan.size).multipliedReportingOverflow(by: UInt64(clamping: plan.slots)).partialValue),
        "traffic.stream")
    let result = try QueuePair.stream(plan, on: pairs)
    if let pace = result.pace, pace.isMissed { call.host.warn(warning(pace)) }
    _ = call.push(result, as: streamRecord)
    guard plan.keepsLatencies else { return 1 }
    let origins: [LatencyHistogram.Origin?] = result.pace == nil ? [nil] : [.post, .due]
    for from in origins {
        _ = try call.holding(LatencyHistogram.size, "traffic.stream") {
            let histogram = LatencyHistogram(from == .due ? result.dueLatencies : result.latencies, from: from)
            let label = histogram.label
            return call.push(object: histogram, parent: 0, label: "of \(result.messages) messages\(label)")
        }
    }
    return CInt(1 + origins.count)
}

private func warning(_ pace: TrafficResult.Pace) -> String {
    func number(_ rate: Double) -> String {
        rate < 1000 ? "\((rate * 1000).rounded() / 1000)" : "\(Int64(min(rate, 1e18)))"
    }
    return
        "traffic.stream was to post \(number(pace.asked)) messages a second and posted \(number(pace.reached)): \(pace.late) "
        + "were late, and latencies from the post leave out how long they waited; those from when each was due have it"
}

/// Context of the C loop's callback, which advances a simulated bench's time while the loop waits.
private final class Clock {
    let kernel: any Kernel
    init(_ kernel: any Kernel) { self.kernel = kernel }
}

private func pingPong(_ call: Call) throws -> CInt {
    let request = call[0].table
    guard let rendezvous = call.host.rendezvous else {
        throw ErrorValue(
            kind: .script, "traffic.ping_pong is between two roles: roles = { \"target\", \"initiator\" }")
    }
    var plan = PingPongPlan()
    let mr = request[PingPongKeys.mr]
    let (from, into) = (request[PingPongKeys.sendOffset], request[PingPongKeys.receiveOffset])
    plan.size = request[PingPongKeys.size]
    let (size, room) = (UInt64(plan.size), UInt64(mr.pointee.length))
    for offset in [from, into] where offset > room || size > room - offset {
        throw ErrorValue(
            kind: .argument, "traffic.ping_pong: \(size) bytes at \(offset) reach outside \(room) bytes of memory")
    }
    plan.isWrite = request[PingPongKeys.isWrite]
    plan.isFirst = request[PingPongKeys.starts]
    plan.from = (mr.pointee.start &+ from, mr.pointee.lkey)
    plan.into = (mr.pointee.start &+ into, mr.pointee.lkey)
    plan.remote = try PeerKeys.memory(
        request, at: PingPongKeys.remoteAddress, by: PingPongKeys.rkey,
        of: plan.isWrite ? IBV_WR_RDMA_WRITE : IBV_WR_SEND, "traffic.ping_pong", "plan")
    let count = request[PingPongKeys.count]
    if let count { plan.count = count }
    if let duration = request[PingPongKeys.duration] {
        guard count == nil else {
            throw ErrorValue(kind: .argument, "traffic.ping_pong: give count or duration_ms, not both")
        }
        plan.count = 0
        plan.duration = duration * 1_000_000
    }
    plan.warmup = request[PingPongKeys.warmup]
    plan.isInline = request[PingPongKeys.inline]
    plan.patience = request[PingPongKeys.patience] * 1_000_000
    plan.stop = UnsafePointer(lk_interruption(call.state))
    let clock = Clock(try call.kernel())
    if call.host.isSimulated {
        plan.idle = { _ = Unmanaged<Clock>.fromOpaque($0).takeUnretainedValue().kernel.sleep(nanoseconds: 1000) }
        plan.idleArgument = UnsafeRawPointer(Unmanaged.passUnretained(clock).toOpaque())
    }
    defer { withExtendedLifetime(clock) {} }
    let qp = request[PingPongKeys.qp]
    try qp.pointee.preparePingPong(plan)
    try rendezvous.barrier(timeout: plan.patience)
    let (latencies, failure) = try qp.pointee.pingPong(plan)
    _ = call.push((messages: latencies.count, failure: failure), as: pingPongRecord)
    _ = try call.holding(LatencyHistogram.size, "traffic.ping_pong") {
        call.push(object: LatencyHistogram(latencies), parent: 0, label: "of \(latencies.count) messages")
    }
    return 2
}

private func refuseBoth(_ isGiven: Bool, _ function: String) throws {
    guard isGiven else { return }
    throw ErrorValue(kind: .argument, "\(function): give size or sizes, not both")
}

private func stamp(_ request: Table) throws -> Stamp {
    let size = request[StampKeys.size]
    let sizes = request[sizesKey] ?? []
    if !sizes.isEmpty { try refuseBoth(size != nil, "traffic: a stamp") }
    guard size != nil || !sizes.isEmpty else {
        throw ErrorValue(kind: .argument, "traffic: a stamp needs size or sizes")
    }
    return Stamp(
        size: size ?? 0, sizes: sizes.map(Int.init), slots: request[StampKeys.slots], first: request[StampKeys.first],
        seed: request[StampKeys.seed])
}

private func check(_ call: Call) throws -> CInt {
    let request = call[0].table
    let found = try stamp(request).check(
        request[StampKeys.memory].pointee, at: request[StampKeys.offset],
        stop: UnsafePointer(lk_interruption(call.state)))
    guard let found else { return call.push(LuaValue.none) }
    return call.push(found, as: mismatchRecord)
}
