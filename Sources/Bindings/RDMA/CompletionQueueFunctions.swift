import CLuaShims
public import Devices
import Kernel
public import LuaKit

extension CompletionQueue: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "completion queue" }
}

let cqClass = ObjectClass(
    CompletionQueue.luaName, type: "rdma.cq", short: "cq", "A completion queue.",
    methods: [
        Function(
            "poll", [Parameter("count", .integer(1...65536), .integer(16), "at most so many")],
            returns: "rdma.completion[]",
            "ibv_poll_cq: completions, oldest first: id, ok, status (\"SUCCESS\", \"REM_ACCESS_ERR\"), op, bytes, qpn, "
                + "vendor_error, imm; src_qpn of a datagram, whose bytes begin 40 behind the request's offset. A list, empty where none is there.",
            entry: {
                Call($0, $1).run { call in
                    let found = try call[0].object(CompletionQueue.self).pointee.poll(call[1].int)
                    return call.push(.list(found.map(\.table)))
                }
            }),
        Function(
            "wait",
            [
                Parameter("count", .integer(1...65536), .integer(1), "how many"),
                Parameter("timeout", .integer(1...3_600_000), .integer(5000), "milliseconds"),
            ],
            returns: "rdma.completion[]", errors: [("ETIMEDOUT", "they did not come in time")],
            "Polls until so many completions came. Those that came before an error are polled next.",
            entry: {
                Call($0, $1).run { call in
                    let found = try call[0].object(CompletionQueue.self).pointee.wait(
                        call[1].int, timeout: call[2].uint64 * 1_000_000,
                        stop: UnsafePointer(lk_interruption(call.state)))
                    return call.push(.list(found.map(\.table)))
                }
            }),
        Function(
            "request_event",
            [Parameter("solicited", .boolean, .integer(0), "only one that its sender asked for, or a bad one")],
            errors: [("EINVAL", "it was created without events")],
            "ibv_req_notify_cq: the next completion makes an event. What is there already does not: poll after this.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(CompletionQueue.self).pointee.requestEvent(solicitedOnly: call[1].bool)
                    return call.nothing
                }
            }),
        Function(
            "wait_event", [Parameter("timeout", .integer(1...3_600_000), .integer(5000), "milliseconds")],
            errors: [("ETIMEDOUT", "none came in time"), ("EINVAL", "it was created without events")],
            "ibv_get_cq_event, acknowledged: waits for an event without using the processor.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(CompletionQueue.self).pointee.waitEvent(
                        timeout: call[1].uint64 * 1_000_000, stop: UnsafePointer(lk_interruption(call.state)))
                    return call.nothing
                }
            }),
        Function(
            "moderate",
            [
                Parameter("count", .integer(0...65535), .required, "completions that make an event"),
                Parameter("period", .integer(0...65535), .integer(0), "or microseconds after the first of them"),
            ],
            errors: [("EOPNOTSUPP", "the NIC's driver has no moderation"), ("EINVAL", "longer than it can wait")],
            "ibv_modify_cq: fewer events.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(CompletionQueue.self).pointee.moderate(
                        count: UInt16(truncatingIfNeeded: call[1].int64),
                        period: UInt16(truncatingIfNeeded: call[2].int64))
                    return call.nothing
                }
            }),
    ],
    close: { closeObject($0, $1, $2, CompletionQueue.self) }, destroy: { destroyObject($0, CompletionQueue.self) })

extension Completion {
    /// As scripts see it.
    var table: LuaValue {
        .table([
            "id": .integer(Int64(bitPattern: id)), "ok": .boolean(status == 0), "status": .string(statusName),
            "op": .string(operation), "bytes": .integer(Int64(bytes)), "qpn": .integer(Int64(number)),
            "vendor_error": .integer(Int64(vendorError)), "src_qpn": sender.map { .integer(Int64($0)) } ?? .none,
            "imm": immediate.map { .integer(Int64($0)) } ?? .none,
        ])
    }
}
