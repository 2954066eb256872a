public import CKernel

extension ObjectKind {
    static let qp = ObjectKind("qp", "queue pair", "struct ibv_qp *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_qp> {
    static var qp: Self { .object(.qp) }
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_qp_init_attr> {
    fileprivate static var initial: Self {
        .pointed(
            { ibv_qp_init_attr() },
            [
                VerbMember(
                    "qp_type", \.qp_type, .names([.init(2, "RC"), .init(3, "UC"), .init(4, "UD")]),
                    ibv_qp_type.init(rawValue:)),
                VerbMember("send_cq", \.send_cq, .handle(ObjectKind.cq.name)),
                VerbMember("recv_cq", \.recv_cq, .handle(ObjectKind.cq.name)),
                VerbMember("srq", \.srq, .handle(ObjectKind.srq.name)), VerbMember("sq_sig_all", \.sq_sig_all),
                VerbMember("max_send_wr", \.cap.max_send_wr), VerbMember("max_recv_wr", \.cap.max_recv_wr),
                VerbMember("max_send_sge", \.cap.max_send_sge), VerbMember("max_recv_sge", \.cap.max_recv_sge),
                VerbMember("max_inline_data", \.cap.max_inline_data),
            ])
    }
}

/// Queue pairs.
extension Verbs {
    /// ibv_create_qp(3). The capabilities are set to the granted ones.
    public static let ibv_create_qp = Verb(
        "ibv_create_qp", .pd, .initial, makes: .qp, outputs: [VerbMember("qp_num", \ibv_qp.qp_num, .queueNumber)],
        inC: .call(
            "ibv_create_qp($0, &attr)",
            [
                .lines([
                    "struct ibv_qp_init_attr attr = {",
                    "\t.qp_type = (enum ibv_qp_type)($1), .send_cq = $2, .recv_cq = $3,",
                    "\t.srq = $4, .sq_sig_all = $5,", "\t.cap = { $6, $7, $8, $9, $10 },", "};",
                ])
            ]),
        refusals: Refusal.ofMemory + [
            Refusal("EINVAL", "more work requests, pieces or inline data than the device has"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no queue pairs of this type"),
            Refusal("EPERM", "this type of queue pair is root's to create (CAP_NET_RAW)"),
        ], live: shim_ibv_create_qp)

    /// ibv_destroy_qp(3).
    public static let ibv_destroy_qp = Verb(
        "ibv_destroy_qp", .qp, ends: true,
        refusals: [.deviceGone, Refusal("EBUSY", "a multicast group or a flow still uses it"), .unknownObject],
        live: shim_ibv_destroy_qp)

    /// ibv_modify_qp(3). The mask consists of IBV_QP_* flags.
    public static let ibv_modify_qp = Verb(
        "ibv_modify_qp", .qp, .attributes, .number("attr_mask", AttributeMask.format),
        encoding: { qp, attributes, mask in
            [
                .number(address(qp), .handle(ObjectKind.qp.name)), .attributes(attributes, mask),
                .number(signed(mask), AttributeMask.format),
            ]
        },
        inC: .call("ibv_modify_qp($0, &attr, $2)", [.structure("struct ibv_qp_attr attr", argument: 1)]),
        refusals: [
            .deviceGone, Refusal("EINVAL", "not from this state, or a value of the peer's or the port's is none"),
            Refusal("ENOMEM"), Refusal("ETIMEDOUT", "the peer's address could not be resolved"), Refusal("EFAULT"),
            Refusal("EOPNOTSUPP", "the device does not do what the peer may ask for, such as atomics"),
        ], live: shim_ibv_modify_qp)

    /// ibv_post_send(3), of one work request or a chain.
    public static let ibv_post_send = Verb(
        "ibv_post_send", .qp, .sends,
        encoding: { qp, request in
            [.number(address(qp), .handle(ObjectKind.qp.name)), .work(request, on: qp)]
        }, isOfDataPath: true, inC: .work("send"),
        refusals: [
            Refusal(
                "ENOMEM",
                "the send queue is full: poll the completions of signalled requests; mlx5 says so too before it is connected"
            ), Refusal("EINVAL", "the queue pair is not connected, or the request is none"), Refusal("EFAULT"),
        ], live: shim_ibv_post_send)

    /// ibv_post_recv(3), of one work request or a chain.
    public static let ibv_post_recv = Verb(
        "ibv_post_recv", .qp, .receives, isOfDataPath: true, inC: .work("recv"),
        refusals: [
            Refusal("ENOMEM", "the receive queue is full: poll its completions"), .pieces, Refusal("EFAULT"),
        ], live: shim_ibv_post_recv)

    /// ibv_query_qp_data_in_order(3): whether the bytes of one request of this kind are written in their order at this side, so
    /// that a reader may look at the last of them instead of waiting for a completion. The flags are 0 in rdma-core 44. It
    /// refuses nothing: where the library or the provider cannot tell, the answer is no (libibverbs/verbs.c, providers/mlx5/verbs.c).
    public static let ibv_query_qp_data_in_order = Verb(
        "ibv_query_qp_data_in_order", .qp, .number("op", Layout.workRequests), .number("flags", .hexadecimal),
        answer: .noted { (isInOrder: Bool, operation) in operation.result = .number(isInOrder ? 1 : 0, .decimal) },
        inC: .number("ibv_query_qp_data_in_order($0, (enum ibv_wr_opcode)($1), $2)"), refusals: []
    ) { (qp, opcode: UInt32, flags: UInt32) throws(Errno) in
        CKernel.ibv_query_qp_data_in_order(qp, ibv_wr_opcode(rawValue: opcode), flags) > 0
    }

    static let queuePairs: [any AnyVerb] = [
        ibv_create_qp, ibv_destroy_qp, ibv_modify_qp, ibv_post_send, ibv_post_recv, ibv_query_qp_data_in_order,
    ]
}

extension VerbParameter where Value == ibv_qp_attr {
    /// All attributes; the mask says which of them are valid.
    fileprivate static var attributes: Self {
        .value(
            "attr",
            members: (Layout.queuePairAttributes.map(\.field) + Layout.path.fields).map(Signature.Member.init),
            encode: { .attributes($0, .max) }, decode: { value, _ in ibv_qp_attr(recorded: value) })
    }
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_send_wr> {
    /// A chain of send requests; their members depend on the type of queue pair.
    fileprivate static var sends: Self {
        .value(
            "wr", members: Layout.workMembers, encode: { _ in .list([]) },
            decode: { value, memory in memory.sends(value) })
    }
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_recv_wr> {
    /// A chain of receive requests.
    static var receives: Self {
        .value(
            "wr", members: Layout.workMembers, encode: { .work($0) },
            decode: { value, memory in memory.receives(value) })
    }
}

extension Refusal {
    /// Error of receive requests.
    static let pieces = Refusal("EINVAL", "more pieces than the queue takes, or the queue pair is reset")
}
