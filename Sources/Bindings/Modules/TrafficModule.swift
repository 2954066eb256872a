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
    /// Nothing to close but memory.
    public private(set) var isOpen = true
    let histogram: Histogram<UInt64>
    /// From what they are counted; nil of what has one way to count.
    let from: Origin?
    /// What tells it from the other histogram of the same stream.
    var label: String { from.map { " from \($0.rawValue)" } ?? "" }

    /// Where a paced stream's latencies begin.
    enum Origin: String {
        /// A message was posted.
        case post
        /// It was its turn to be posted.
        case due
    }
    /// Bytes that one takes, about.
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

private let positive = LuaType.integer(1...Int64(Int32.max))
private let sizesKey = Parameter(
    "sizes", .list(.size(0...0x4000_0000), 1...4096), .absent,
    "or several sizes, which messages have in turn; their places are as far apart as the largest")
private let streamKeys = [
    Parameter("qp", .object(QueuePair.self), .required, "a connected queue pair, whose completions nobody else takes"),
    Parameter("op", .choice(operations), .required, "what each message does"),
    Parameter("from", .object(MemoryRegion.self), .required, "the local memory region"),
    Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
    Parameter("remote_addr", .uint64, .integer(0), "address in the peer's region, as `mr:addr` gives it"),
    Parameter("rkey", .uint32, .integer(0), "the peer's region's key"),
    Parameter("size", .size(0...0x4000_0000), .absent, "bytes of a message; default 4096, and 8 for atomics"),
    Parameter("count", positive, .absent, "how many messages; default 5000, unless `duration` is given"),
    Parameter("duration", .integer(1...3_600_000), .absent, "or for how long: milliseconds"),
    Parameter("warmup", .integer(0...Int64(Int32.max)), .integer(0), "how many before the clock starts"),
    Parameter(
        "depth", .integer(1...65536), .absent, "how many may be on their way; default: 128, or the queue pair's send_wr"
    ),
    Parameter("batch", .integer(1...4096), .integer(1), "how many are posted with one call"),
    Parameter(
        "signal_every", .integer(1...65536), .absent, "every so many-th reports its completion; default: half of depth"),
    Parameter("inline", .boolean, .integer(0), "the bytes are taken at once"),
    Parameter(
        "rate", .number, .absent,
        "messages per second, at most; one that is late is posted at once, until it has caught up"),
    Parameter(
        "latency", .boolean, .integer(0),
        "keep the time from post to completion, and with `rate` from when each was due; sets signal_every to 1"),
    Parameter("slots", .integer(1...(1 << 30)), .integer(1), "messages lie in so many places side by side, in turn"),
    Parameter(
        "patience", .integer(1...3_600_000), .integer(10_000), "milliseconds without a completion: the peer is lost"),
    sizesKey,
]

private let pingPongKeys = [
    Parameter("qp", .object(QueuePair.self), .required, "a connected queue pair, whose completions nobody else takes"),
    Parameter(
        "op", .choice([("write", 1), ("send", 0)]), .required, "RDMA writes, whose last byte is watched; or sends"),
    Parameter("first", .boolean, .required, "whether this side begins"),
    Parameter("mr", .object(MemoryRegion.self), .required, "host memory that messages are sent from and come to"),
    Parameter("from", .size(0...Int64.max), .integer(0), "where in it they are sent from"),
    Parameter("into", .size(0...Int64.max), .required, "where in it the peer's come to"),
    Parameter("remote_addr", .uint64, .integer(0), "where the peer's come to, for writes"),
    Parameter("rkey", .uint32, .integer(0), "the peer's region's key"),
    Parameter("size", .size(1...0x4000_0000), .integer(8), "bytes of a message"),
    Parameter(
        "count", .integer(1...(1 << 24)), .absent, "how many round trips; default 1000, unless `duration` is given"),
    Parameter("warmup", .integer(0...(1 << 24)), .integer(100), "how many before them"),
    Parameter("inline", .boolean, .integer(0), "the bytes are taken at once"),
    Parameter(
        "patience", .integer(1...3_600_000), .integer(10_000), "milliseconds without a message: the peer is lost"),
    Parameter(
        "duration", .integer(1...3_600_000), .absent,
        "or for how long: milliseconds, which the side that begins measures; both sides must say so"),
]
private let stampKeys = [
    Parameter("memory", .object(MappedMemory.self), .required, "host memory, or a device's region"),
    Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
    Parameter("size", .size(1...0x4000_0000), .absent, "bytes of a message; or `sizes`"),
    Parameter("slots", .integer(1...(1 << 30)), .integer(1), "how many messages lie side by side"),
    Parameter("first", .uint64, .integer(0), "number of the first one"),
    Parameter("seed", .uint64, .integer(0), "streams with different seeds have different bytes"), sizesKey,
]

/// Data loops, native from the first post to the last completion.
let trafficModule = Module(
    "traffic", "Streams of messages: posted, polled and timed natively.",
    functions: [
        Function(
            "stream", [Parameter("plan", .record(streamKeys), .required, "what is sent, and how")],
            returns: "traffic.result, traffic.latency?, traffic.latency?", effects: [.dma],
            errors: [
                ("ETIMEDOUT", "no completion came for too long"),
                ("EINVAL", "not connected"),
            ],
            "Sends messages from one queue pair as fast as it goes. Returns messages, bytes, elapsed (ns), cpu (ns), "
                + "messages_per_s, bytes_per_s, failures (status to count) and failure (the first, as cq:poll gives it), with "
                + "`rate` rate_asked, rate_reached (messages posted per second) and late (how many were posted when the next was "
                + "due already); with `latency` a histogram from each post to its completion; with both, another one from when "
                + "each was due, which has the time that messages waited because others were late. A rate that is missed by more "
                + "than 1 % is a warning of the case.",
            entry: { Call($0, $1).run(stream) }),
        Function(
            "ping_pong", [Parameter("plan", .record(pingPongKeys), .required, "what goes to and fro")],
            returns: "traffic.result, traffic.latency", effects: [.dma],
            errors: [("ETIMEDOUT", "the peer is lost"), ("EINVAL", "not connected")],
            "Messages to and fro between two roles, one at a time; both call it. Returns messages and failure, and a histogram "
                + "of half of each round trip.",
            entry: { Call($0, $1).run(pingPong) }),
        Function(
            "stamp", [Parameter("where", .record(stampKeys), .required, "which messages, and where")],
            errors: [("EINVAL", "outside the memory")],
            "Fills memory with messages whose bytes tell which message they belong to.",
            entry: {
                Call($0, $1).run { call in
                    try stamp(call[0]).write(
                        to: call[0][0].object(MappedMemory.self).pointee, at: call[0][1].uint64,
                        stop: UnsafePointer(lk_interruption(call.state)))
                    return call.nothing
                }
            }),
        Function(
            "check", [Parameter("where", .record(stampKeys), .required, "which messages, and where")],
            returns: "traffic.mismatch?", errors: [("EINVAL", "outside the memory")],
            "Looks whether memory holds what traffic.stamp wrote elsewhere. nil, or the first wrong byte: message, byte (in the "
                + "message), offset (in the memory), expected, found, text.",
            entry: { Call($0, $1).run(check) }),
    ], classes: [latencyClass])

private let latencyClass = ObjectClass(
    LatencyHistogram.luaName, type: "traffic.latency", short: "latency",
    "Latencies in nanoseconds, to three digits.",
    methods: [
        Function(
            "quantile", [Parameter("q", .number, .required, "0 to 1: 0.5, 0.999")], returns: "integer",
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
            "summary", returns: "traffic.summary",
            "count, and of more than none min, max, mean, and p50, p90, p99, p999; from (\"post\" or \"due\") of a paced stream's.",
            entry: { Call($0, $1).run(summary) }),
    ],
    close: { closeObject($0, $1, $2, LatencyHistogram.self) }, destroy: { destroyObject($0, LatencyHistogram.self) })

private func summary(_ call: Call) throws -> CInt {
    let histogram = call[0].object(LatencyHistogram.self).pointee.histogram
    var fields: [String: LuaValue] = ["count": .integer(Int64(clamping: histogram.totalCount))]
    if let from = call[0].object(LatencyHistogram.self).pointee.from { fields["from"] = .string(from.rawValue) }
    if histogram.totalCount > 0 { fields["mean"] = .number(histogram.mean) }
    let quantiles = [("min", 0.0), ("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9), ("max", 100)]
    for (name, percentile) in quantiles where histogram.totalCount > 0 {
        fields[name] = .integer(Int64(clamping: histogram.valueAtPercentile(percentile)))
    }
    return call.push(.table(fields))
}

private func plan(_ request: Argument, _ call: Call) throws -> TrafficPlan {
    var plan = TrafficPlan()
    let mr = request[2].object(MemoryRegion.self)
    plan.opcode = ibv_wr_opcode(rawValue: request[1].uint32)
    plan.local = (mr.pointee.start &+ request[3].uint64, mr.pointee.lkey)
    plan.remote = (request[4].uint64, request[5].uint32)
    plan.size = request[6].isPresent ? request[6].uint32 : 4096
    if request[7].isPresent { plan.count = request[7].int }
    if request[8].isPresent {
        guard !request[7].isPresent else {
            throw ErrorValue(kind: .argument, "traffic.stream: give count or duration, not both")
        }
        plan.count = 0
        plan.duration = request[8].uint64 * 1_000_000
    }
    plan.warmup = request[9].int
    let places = request[0].object(QueuePair.self).pointee.sendCapacity
    plan.depth = request[10].isPresent ? request[10].int : max(1, min(128, places))
    guard plan.depth <= places else {
        throw ErrorValue(
            kind: .argument,
            "traffic.stream: depth \(plan.depth) is more than the \(places) places of the send queue; create the queue "
                + "pair with send_wr = \(plan.depth)")
    }
    plan.batch = request[11].int
    plan.keepsLatencies = request[15].bool
    plan.signalEvery = plan.keepsLatencies ? 1 : request[12].isPresent ? request[12].int : max(1, plan.depth / 2)
    plan.isInline = request[13].bool
    if request[14].isPresent {
        plan.rate = request[14].double
        guard plan.rate != 0 else {
            throw ErrorValue(
                kind: .argument, "traffic.stream: a rate is messages per second, more than 0; leave it out for no pace"
            )
        }
    }
    plan.slots = request[16].int
    plan.patience = request[17].uint64 * 1_000_000
    if request[18].isPresent {
        try refuseBoth(request[6].isPresent, "traffic.stream")
        plan.sizes = (0..<request[18].count).map { request[18][$0].uint32 }
        plan.size = plan.sizes.max() ?? 0
    }
    plan.stop = UnsafePointer(lk_interruption(call.state))
    return plan
}

private func stream(_ call: Call) throws -> CInt {
    let plan = try plan(call[0], call)
    do throws(TrafficPlan.Mistake) { try plan.check() } catch {
        throw ErrorValue(kind: .argument, "traffic.stream: \(error.message)")
    }
    try call.touch(
        Int(clamping: UInt64(plan.size).multipliedReportingOverflow(by: UInt64(clamping: plan.slots)).partialValue),
        "traffic.stream")
    let result = try call[0][0].object(QueuePair.self).pointee.stream(plan)
    if let pace = result.pace, pace.isMissed { call.host.warn(warning(pace)) }
    _ = call.push(table(result))
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

private func table(_ result: TrafficResult) -> LuaValue {
    let seconds = max(Double(result.elapsed), 1) / 1e9
    var failures: [String: LuaValue] = [:]
    for (status, count) in result.failures {
        failures[Completion.name(ofStatus: status)] = .integer(Int64(count))
    }
    var fields: [String: LuaValue] = [
        "messages": .integer(Int64(result.messages)), "bytes": .integer(Int64(clamping: result.bytes)),
        "elapsed": .integer(Int64(clamping: result.elapsed)), "cpu": .integer(Int64(clamping: result.processorTime)),
        "messages_per_s": .number(Double(result.messages) / seconds),
        "bytes_per_s": .number(Double(result.bytes) / seconds), "failures": .table(failures),
        "failure": result.firstFailure?.table ?? .none,
    ]
    if let pace = result.pace {
        fields["rate_asked"] = .number(pace.asked)
        fields["rate_reached"] = .number(pace.reached)
        fields["late"] = .integer(Int64(pace.late))
    }
    return .table(fields)
}

/// What a simulated bench's time goes on by while a loop waits.
private final class Clock {
    let kernel: any Kernel
    init(_ kernel: any Kernel) { self.kernel = kernel }
}

private func pingPong(_ call: Call) throws -> CInt {
    let request = call[0]
    guard let rendezvous = call.host.rendezvous else {
        throw ErrorValue(
            kind: .script, "traffic.ping_pong is between two roles: roles = { \"target\", \"initiator\" }")
    }
    var plan = PingPongPlan()
    let mr = request[3].object(MemoryRegion.self)
    let (size, room) = (request[8].uint64, UInt64(mr.pointee.length))
    for offset in [request[4].uint64, request[5].uint64] where offset > room || size > room - offset {
        throw ErrorValue(
            kind: .argument, "traffic.ping_pong: \(size) bytes at \(offset) reach outside \(room) bytes of memory")
    }
    plan.isWrite = request[1].bool
    plan.isFirst = request[2].bool
    plan.from = (mr.pointee.start &+ request[4].uint64, mr.pointee.lkey)
    plan.into = (mr.pointee.start &+ request[5].uint64, mr.pointee.lkey)
    plan.remote = (request[6].uint64, request[7].uint32)
    plan.size = request[8].uint32
    if request[9].isPresent { plan.count = request[9].int }
    if request[13].isPresent {
        guard !request[9].isPresent else {
            throw ErrorValue(kind: .argument, "traffic.ping_pong: give count or duration, not both")
        }
        plan.count = 0
        plan.duration = request[13].uint64 * 1_000_000
    }
    plan.warmup = request[10].int
    plan.isInline = request[11].bool
    plan.patience = request[12].uint64 * 1_000_000
    plan.stop = UnsafePointer(lk_interruption(call.state))
    let clock = Clock(try call.kernel())
    if call.host.isSimulated {
        plan.idle = { _ = Unmanaged<Clock>.fromOpaque($0).takeUnretainedValue().kernel.sleep(nanoseconds: 1000) }
        plan.idleArgument = UnsafeRawPointer(Unmanaged.passUnretained(clock).toOpaque())
    }
    defer { withExtendedLifetime(clock) {} }
    let qp = request[0].object(QueuePair.self)
    try qp.pointee.preparePingPong(plan)
    try rendezvous.barrier(timeout: plan.patience)
    let (latencies, failure) = try qp.pointee.pingPong(plan)
    _ = call.push(
        .table(["messages": .integer(Int64(latencies.count)), "failure": failure?.table ?? .none]))
    _ = try call.holding(LatencyHistogram.size, "traffic.ping_pong") {
        call.push(object: LatencyHistogram(latencies), parent: 0, label: "of \(latencies.count) messages")
    }
    return 2
}

private func refuseBoth(_ isGiven: Bool, _ function: String) throws {
    guard isGiven else { return }
    throw ErrorValue(kind: .argument, "\(function): give size or sizes, not both")
}

private func stamp(_ place: Argument) throws -> Stamp {
    if place[6].isPresent { try refuseBoth(place[2].isPresent, "traffic: a stamp") }
    let sizes = place[6].isPresent ? (0..<place[6].count).map { place[6][$0].int } : []
    guard place[2].isPresent || !sizes.isEmpty else {
        throw ErrorValue(kind: .argument, "traffic: a stamp needs size or sizes")
    }
    return Stamp(
        size: place[2].isPresent ? place[2].int : 0, sizes: sizes, slots: place[3].int, first: place[4].uint64,
        seed: place[5].uint64)
}

private func check(_ call: Call) throws -> CInt {
    let found = try stamp(call[0]).check(
        call[0][0].object(MappedMemory.self).pointee, at: call[0][1].uint64,
        stop: UnsafePointer(lk_interruption(call.state)))
    guard let found else { return call.push(LuaValue.none) }
    func digits(_ byte: UInt8) -> String { "0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    return call.push(
        .table([
            "message": .integer(Int64(bitPattern: found.message)), "byte": .integer(Int64(found.byte)),
            "offset": .integer(Int64(bitPattern: found.offset)), "expected": .integer(Int64(found.expected)),
            "found": .integer(Int64(found.found)),
            "text": .string(
                "byte \(found.byte) of message \(found.message), at offset \(found.offset): expected "
                    + "\(digits(found.expected)), found \(digits(found.found))"),
        ]))
}
