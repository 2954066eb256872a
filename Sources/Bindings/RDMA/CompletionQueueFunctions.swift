import CLuaShims
public import Devices
import Kernel
public import LuaKit

extension CompletionQueue: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "completion queue" }
}

private enum ModifyKeys {
    static let count = Key<UInt16>("cq_count", "completions that make an event")
    static let period = Key<UInt16>("cq_period", default: 0, "or microseconds after the first of them")
}

let cqClass = ObjectClass(
    CompletionQueue.luaName, type: "rdma.cq", short: "cq", "A completion queue.",
    methods: [
        Function(
            "poll", [Parameter("count", .integer(1...65536), .integer(16), "at most so many")],
            returns: [.list(.record(completionRecord))],
            "ibv_poll_cq: completions, oldest first; none where none is there.",
            entry: {
                Call($0, $1).run { call in
                    let found = try call[0].object(CompletionQueue.self).pointee.poll(call[1].int)
                    return call.push(list: found, as: completionRecord)
                }
            }),
        Function(
            "wait",
            [
                Parameter("count", .integer(1...65536), .integer(1), "how many"),
                Parameter("timeout_ms", .time(1...3_600_000), .integer(5000), "how long"),
            ],
            returns: [.list(.record(completionRecord))], errors: [("ETIMEDOUT", "they did not come in time")],
            "Polls until so many completions came. Those that came before an error are polled next.",
            entry: {
                Call($0, $1).run { call in
                    let found = try call[0].object(CompletionQueue.self).pointee.wait(
                        call[1].int, timeout: call[2].uint64 * 1_000_000,
                        stop: UnsafePointer(lk_interruption(call.state)))
                    return call.push(list: found, as: completionRecord)
                }
            }),
        Function(
            "req_notify",
            [Parameter("solicited", .boolean, .integer(0), "only one that its sender asked for, or a bad one")],
            errors: [("EINVAL", "it was created without events")],
            "ibv_req_notify_cq: the next completion makes an event. What is there already does not: poll after this.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(CompletionQueue.self).pointee.requestEvent(solicitedOnly: call[1].bool)
                    return call.nothing
                }
            }
        ).was("request_event"),
        Function(
            "wait_event", [Parameter("timeout_ms", .time(1...3_600_000), .integer(5000), "how long")],
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
            "modify",
            [Parameter("attributes", .record([ModifyKeys.count, ModifyKeys.period]), .required, "its moderation")],
            errors: [("EOPNOTSUPP", "the NIC's driver has no moderation"), ("EINVAL", "longer than it can wait")],
            "ibv_modify_cq: fewer events.",
            entry: {
                Call($0, $1).run { call in
                    let attributes = call[1].table
                    try call[0].object(CompletionQueue.self).pointee.moderate(
                        count: attributes[ModifyKeys.count], period: attributes[ModifyKeys.period])
                    return call.nothing
                }
            }
        ).was("moderate"),
    ],
    close: { closeObject($0, $1, $2, CompletionQueue.self) }, destroy: { destroyObject($0, CompletionQueue.self) })

let completionRecord = ResultRecord<Completion>(
    "rdma.completion", "What became of a work request: struct ibv_wc.",
    [
        ResultField("wr_id", "as the request was called") { $0.id }.was("id"),
        ResultField("ok", "whether it succeeded") { $0.status == 0 },
        ResultField("status", "\"SUCCESS\", \"REM_ACCESS_ERR\"") { $0.statusName },
        ResultField("opcode", "what was done, IBV_WC_*: \"rdma_write\", \"recv\"") { $0.operation }.was("op"),
        ResultField(
            "byte_len", .bytes, "what came in, of a receive; a datagram's bytes begin 40 behind the request's offset"
        ) { $0.bytes }.was("bytes"),
        ResultField("qp_num", "the queue pair's number") { $0.number }.was("qpn"),
        ResultField("vendor_err", "the NIC's own reason") { $0.vendorError }.was("vendor_error"),
        ResultField("src_qp", "who sent a datagram") { $0.sender }.was("src_qpn"),
        ResultField("imm_data", "immediate data, where some came") { $0.immediate }.was("imm"),
    ])
