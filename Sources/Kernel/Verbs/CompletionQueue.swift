public import CKernel

extension ObjectKind {
    static let cq = ObjectKind("cq", "completion queue", "struct ibv_cq *")
    static let channel = ObjectKind("channel", "completion channel", "struct ibv_comp_channel *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_cq> {
    static var cq: Self { .object(.cq) }
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_comp_channel> {
    static var channel: Self { .object(.channel) }
}

/// Completion queues and the channels of their events.
extension Verbs {
    /// ibv_create_comp_channel(3).
    public static let ibv_create_comp_channel = Verb(
        "ibv_create_comp_channel", .context, makes: .channel,
        refusals: Refusal.ofMemory + [Refusal("EMFILE", "too many open descriptors (ulimit -n)")],
        live: shim_ibv_create_comp_channel)

    /// ibv_destroy_comp_channel(3). EBUSY while a completion queue uses it.
    public static let ibv_destroy_comp_channel = Verb(
        "ibv_destroy_comp_channel", .channel, ends: true,
        refusals: [.deviceGone, Refusal("EBUSY", "a completion queue still uses it; close that first")],
        live: shim_ibv_destroy_comp_channel)

    /// ibv_create_cq(3), of at least `cqe` entries, perhaps with a channel for its events.
    public static let ibv_create_cq = Verb(
        "ibv_create_cq", .context, .number("cqe"), .optional(.channel), makes: .cq,
        inC: .call("ibv_create_cq($0, $1, NULL, $2, 0)"),
        refusals: Refusal.ofMemory + [Refusal("EINVAL", "more entries than the device has")],
        live: shim_ibv_create_cq)

    /// ibv_req_notify_cq(3): the next completion raises an event; with `solicited_only`, only completions of solicited
    /// sends and errors do.
    public static let ibv_req_notify_cq = Verb(
        "ibv_req_notify_cq", .cq, .flag("solicited_only"),
        refusals: [.deviceGone, Refusal("EINVAL", "the completion queue has no events")], live: shim_ibv_req_notify_cq)

    /// ibv_get_cq_event(3) and ibv_ack_cq_events(3): whether an event came within the given milliseconds.
    public static let ibv_get_cq_event = Verb(
        "ibv_get_cq_event", .channel, .number("milliseconds"),
        answer: .noted { (came: Bool, operation) in operation.result = .number(came ? 1 : 0, .decimal) },
        inC: .completionEvent,
        refusals: [
            .deviceGone, Refusal("EINVAL", "the channel is closed, or of another kind"),
            Refusal(
                "ETIMEDOUT",
                "no event came: was one requested before the completion, and what came earlier polled?"),
        ]
    ) { (channel, milliseconds: Int32) throws(Errno) in
        let result = shim_ibv_get_cq_event(channel, milliseconds)
        try check(result)
        return result > 0
    }

    /// ibv_modify_cq(3), moderation: an event after `cq_count` completions, or `cq_period` microseconds.
    public static let ibv_modify_cq = Verb(
        "ibv_modify_cq", .cq, .number("cq_count"), .number("cq_period"),
        inC: .call(
            "ibv_modify_cq($0, &attr)",
            [
                .lines([
                    "struct ibv_modify_cq_attr attr = {",
                    "\t.attr_mask = IBV_CQ_ATTR_MODERATE, .moderate = { $1, $2 },", "};",
                ])
            ]),
        refusals: [
            .deviceGone, Refusal("EINVAL", "more than the device can wait for"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no moderation"),
        ], live: shim_ibv_modify_cq)

    /// Number of completions for which one ibv_poll_cq allocates memory: at most 65536, whatever a record asks for.
    public static func completionRoom(_ count: Int32) -> Int { min(max(0, Int(count)), 65536) }

    /// ibv_poll_cq(3): the completions that are pending, up to the given number, oldest first.
    public static let ibv_poll_cq = Verb(
        "ibv_poll_cq", .cq, .number("num_entries"),
        answer: .noted(members: Layout.completionFields.map(Signature.Member.init)) {
            (completions: [ibv_wc], operation) in
            operation.result = .number(UInt64(completions.count), .decimal)
            if !completions.isEmpty { operation.outputs = [.init("wc", .completions(completions))] }
        }, isOfDataPath: true, inC: .completions,
        refusals: [.deviceGone, Refusal("EINVAL", "the completion queue is destroyed")]
    ) { (cq, count: Int32) throws(Errno) in
        let room = completionRoom(count)
        var result = 0
        let completions = [ibv_wc](unsafeUninitializedCapacity: room) { buffer, filled in
            guard room > 0, let base = buffer.baseAddress else { return }
            result = shim_ibv_poll_cq(cq, Int32(clamping: room), base)
            filled = max(0, result)
        }
        try check(result)
        return completions
    }

    /// ibv_destroy_cq(3). EBUSY while a queue pair uses it.
    public static let ibv_destroy_cq = Verb(
        "ibv_destroy_cq", .cq, ends: true,
        refusals: [.deviceGone, Refusal("EBUSY", "a queue pair still uses it; close that first")],
        live: shim_ibv_destroy_cq)

    static let completionQueues: [any AnyVerb] = [
        ibv_create_comp_channel, ibv_destroy_comp_channel, ibv_create_cq, ibv_req_notify_cq, ibv_get_cq_event,
        ibv_modify_cq, ibv_poll_cq, ibv_destroy_cq,
    ]
}
