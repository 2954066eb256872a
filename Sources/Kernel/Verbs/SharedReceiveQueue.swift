public import CKernel

extension ObjectKind {
    static let srq = ObjectKind("srq", "shared receive queue", "struct ibv_srq *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_srq> {
    static var srq: Self { .object(.srq) }
}

extension VerbParameter where Value == ibv_srq_init_attr {
    fileprivate static var attributes: Self {
        .structure(
            { ibv_srq_init_attr() },
            [
                VerbMember("max_wr", \.attr.max_wr), VerbMember("max_sge", \.attr.max_sge),
                VerbMember("srq_limit", \.attr.srq_limit),
            ])
    }
}

/// Shared receive queues.
extension Verbs {
    /// ibv_create_srq(3).
    public static let ibv_create_srq = Verb(
        "ibv_create_srq", .pd, .attributes, makes: .srq,
        inC: .call(
            "ibv_create_srq($0, &attr)", [.lines(["struct ibv_srq_init_attr attr = { .attr = { $1, $2, $3 } };"])]),
        refusals: Refusal.ofMemory + [
            Refusal("EINVAL", "more work requests or pieces than the device has"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no shared receive queues"),
        ], live: shim_ibv_create_srq)

    /// ibv_destroy_srq(3). EBUSY while a queue pair uses it.
    public static let ibv_destroy_srq = Verb(
        "ibv_destroy_srq", .srq, ends: true,
        refusals: [.deviceGone, Refusal("EBUSY", "a queue pair still uses it; close that first")],
        live: shim_ibv_destroy_srq)

    /// ibv_modify_srq(3): an event once fewer than `srq_limit` receive requests are left; 0 for none.
    public static let ibv_modify_srq = Verb(
        "ibv_modify_srq", .srq, .number("srq_limit"),
        inC: .call(
            "ibv_modify_srq($0, &attr, IBV_SRQ_LIMIT)", [.lines(["struct ibv_srq_attr attr = { .srq_limit = $1 };"])]),
        refusals: [
            .deviceGone, Refusal("EINVAL", "more than the shared receive queue holds"),
            Refusal("EOPNOTSUPP", "the NIC's driver cannot change it"),
        ], live: shim_ibv_modify_srq)

    /// ibv_post_srq_recv(3), of one work request or a chain.
    public static let ibv_post_srq_recv = Verb(
        "ibv_post_srq_recv", .srq, .receives, inC: .work("recv"),
        refusals: [Refusal("ENOMEM", "the shared receive queue is full: poll its completions"), .pieces],
        live: shim_ibv_post_srq_recv)

    static let sharedReceiveQueues: [any AnyVerb] = [
        ibv_create_srq, ibv_destroy_srq, ibv_modify_srq, ibv_post_srq_recv,
    ]
}
