import CKernel
public import Devices
import Kernel
public import LuaKit

extension QueuePair: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "queue pair" }
}

extension SharedReceiveQueue: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "shared receive queue" }
}
extension AddressHandle: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "address handle" }
}

/// The port and the GID of an endpoint, a connection or an address.
private enum PortKeys {
    static let port = Key<UInt8>("port_num", .integer(1...255), default: 1, "from 1").was("port")
    static let gidIndex = Key<UInt8?>(
        "sgid_index",
        "an entry of `context:gids`; default: RoCE v2 with an IPv4 address, else the highest type there is"
    ).was("gid_index")
    static let all: [any TableKey] = [port, gidIndex]
}
let portParameter = PortKeys.port.parameter

private let gidRecord = ResultRecord<GIDEntry>(
    "rdma.gid", "An entry of a port's table of GIDs.",
    [
        ResultField("index", "its index") { $0.index },
        ResultField("gid", "the GID: \"fe80:0000:...\"") { $0.text },
        ResultField("type", "\"ib\", \"roce-v1\" or \"roce-v2\"") { $0.typeName },
    ])

private enum CQKeys {
    static let events = Key<Bool>("events", default: false, "its completions can be waited for as events")
}

/// Methods of an RDMA context that concern queues.
let queueContextMethods = [
    Function(
        "gids", [portParameter], returns: [.list(.record(gidRecord))], "The port's GIDs.",
        entry: {
            Call($0, $1).run { call in
                let gids = try call[0].object(RDMAContext.self).pointee.gids(
                    port: UInt8(truncatingIfNeeded: call[1].int64))
                return call.push(list: gids, as: gidRecord)
            }
        }),
    Function(
        "create_cq",
        [
            Parameter("cqe", .integer(1...Int64(Int32.max)), .integer(64), "entries, at least so many"),
            Parameter("options", .record([CQKeys.events]), .absent, "what else it can do"),
        ],
        returns: [.object(CompletionQueue.self)], errors: [("EINVAL", "more than the device has")],
        "ibv_create_cq; with events, on a completion channel of its own.",
        entry: {
            Call($0, $1).run { call in
                let context = call[0].object(RDMAContext.self)
                let label = "of \(context.pointee.label)"
                return call.push(
                    object: try context.pointee.createCQ(
                        entries: call[1].int32, events: call[2].table[CQKeys.events]), parent: 1, label: label)
            }
        }),
]

private func count(_ name: String, _ fallback: UInt32, _ doc: String) -> Key<UInt32> {
    Key(name, .integer(0...Int64(Int32.max)), default: fallback, doc)
}

private enum QPKeys {
    static let sendCQ = Key<Object<CompletionQueue>>("send_cq", "where sends complete")
    static let receiveCQ = Key<Object<CompletionQueue>?>("recv_cq", "where receives do; default: send_cq")
    static let sends = count("max_send_wr", 64, "places for sends").was("send_wr")
    static let receives = count("max_recv_wr", 64, "places for receives").was("recv_wr")
    static let sendPieces = count("max_send_sge", 1, "pieces of a send").was("send_sge")
    static let receivePieces = count("max_recv_sge", 1, "pieces of a receive").was("recv_sge")
    static let inline = count("max_inline_data", 0, "bytes that can be sent inline").was("inline")
    static let signalAll = Key<Bool>(
        "sq_sig_all", default: false, "every send completes, whatever its flags"
    ).was("signal_all")
    static let type = Key<UInt32>(
        "qp_type", .choice([("rc", 2), ("uc", 3), ("ud", 4)]), default: 2,
        "reliable connection (the default), unreliable connection, or datagrams"
    ).was("type")
    static let srq = Key<Object<SharedReceiveQueue>?>("srq", "where receive requests come from")
    static let all: [any TableKey] = [
        sendCQ, receiveCQ, sends, receives, sendPieces, receivePieces, inline, signalAll, type, srq,
    ]
}

/// pd:create_qp
let createQPFunction = Function(
    "create_qp", [Parameter("request", .record(QPKeys.all), .required, "queues and capacities")],
    returns: [.object(QueuePair.self)],
    errors: [("EINVAL", "more than the device has"), ("ENOMEM", "no memory for it")],
    "ibv_create_qp, in state RESET.",
    entry: {
        Call($0, $1).run { call in
            let request = call[1].table
            let send = request[QPKeys.sendCQ]
            let capacity = ibv_qp_cap(
                max_send_wr: request[QPKeys.sends], max_recv_wr: request[QPKeys.receives],
                max_send_sge: request[QPKeys.sendPieces], max_recv_sge: request[QPKeys.receivePieces],
                max_inline_data: request[QPKeys.inline])
            let qp = try call[0].object(ProtectionDomain.self).pointee.createQP(
                send: send.pointee, receive: (request[QPKeys.receiveCQ] ?? send).pointee, capacity: capacity,
                signalsAll: request[QPKeys.signalAll], type: ibv_qp_type(rawValue: request[QPKeys.type]),
                shared: request[QPKeys.srq]?.pointee.srq)
            let number = qp.number
            defer {
                call.keep(QPKeys.sendCQ, of: request, at: 0)
                call.keep(QPKeys.receiveCQ, of: request, at: 1)
                call.keep(QPKeys.srq, of: request, at: 2)
            }
            return call.push(object: qp, parent: 1, number: number)
        }
    })

private enum SRQKeys {
    static let requests = count("max_wr", 64, "receive requests").was("wr")
    static let pieces = count("max_sge", 1, "pieces of each").was("sge")
    static let limit = Key<UInt32>("srq_limit", "receive requests; 0 for none")
}

/// pd:create_ah, pd:create_srq
let addressFunctions = [
    Function(
        "create_ah",
        [Parameter("request", .record([EndpointKeys.to] + PortKeys.all), .required, "who gets the datagrams")],
        returns: [.object(AddressHandle.self)], errors: [("EINVAL", "a port or GID that the device does not have")],
        "ibv_create_ah.",
        entry: {
            Call($0, $1).run { call in
                let request = call[1].table
                let peer = try peer(request[EndpointKeys.to], "pd:create_ah")
                let ah = try call[0].object(ProtectionDomain.self).pointee.createAH(
                    to: peer, port: request[PortKeys.port], gidIndex: request[PortKeys.gidIndex])
                return call.push(object: ah, parent: 1, number: peer.number)
            }
        }),
    Function(
        "create_srq",
        [Parameter("request", .record([SRQKeys.requests, SRQKeys.pieces]), .required, "its capacity")],
        returns: [.object(SharedReceiveQueue.self)], errors: [("EINVAL", "more than the device has")],
        "ibv_create_srq: receive requests for several queue pairs.",
        entry: {
            Call($0, $1).run { call in
                let domain = call[0].object(ProtectionDomain.self)
                let label = "of \(domain.pointee.label)"
                let request = call[1].table
                let srq = try domain.pointee.createSRQ(
                    requests: request[SRQKeys.requests], pieces: request[SRQKeys.pieces])
                return call.push(object: srq, parent: 1, label: label)
            }
        }),
]

let ahClass = ObjectClass(
    AddressHandle.luaName, type: "rdma.ah", short: "ah", "Where datagrams go.", methods: [],
    close: { closeObject($0, $1, $2, AddressHandle.self) }, destroy: { destroyObject($0, AddressHandle.self) })

let srqClass = ObjectClass(
    SharedReceiveQueue.luaName, type: "rdma.srq", short: "srq", "A shared receive queue.",
    methods: [
        Function(
            "post_recv",
            [Parameter("request", .record([WorkKeys.id] + WorkKeys.piece), .required, "where a message goes")],
            effects: [.dma],
            errors: [("ENOMEM", "the queue is full")], "ibv_post_srq_recv of one request.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    try call[0].object(SharedReceiveQueue.self).pointee.postReceive(
                        id: request[WorkKeys.id], [try piece(request, "srq:post_recv")])
                    return call.nothing
                }
            }),
        Function(
            "modify", [Parameter("attributes", .record([SRQKeys.limit]), .required, "its limit")],
            errors: [("EINVAL", "more than the queue holds")],
            "ibv_modify_srq: an event (context:wait_event, \"SRQ_LIMIT_REACHED\") once fewer receive requests are left.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(SharedReceiveQueue.self).pointee.set(limit: call[1].table[SRQKeys.limit])
                    return call.nothing
                }
            }
        ).was("set_limit"),
    ],
    close: { closeObject($0, $1, $2, SharedReceiveQueue.self) }, destroy: { destroyObject($0, SharedReceiveQueue.self) }
)

private enum EndpointKeys {
    static let number = Key<UInt32>("qp_num", .integer(0...0xff_ffff), "the peer's queue pair number").was("qpn")
    static let lid = Key<UInt16>("lid", default: 0, "its LID; 0 on Ethernet")
    static let gid = Key<UnsafeRawBufferPointer>("gid", .string(0...16), "its GID, 16 bytes")
    static let to = Key<Table>("to", .record([number, lid, gid]), "the peer's endpoint")
}

private let endpointRecord = ResultRecord<Endpoint>(
    "rdma.endpoint", "What the peer of a queue pair connects to.",
    [
        ResultField("qp_num", "the queue pair's number") { $0.number }.was("qpn"),
        ResultField("lid", "its port's LID; 0 on Ethernet") { $0.lid },
        ResultField("gid", "its GID, 16 bytes") { Bytes($0.gid) },
    ])

private func peer(_ endpoint: Table, _ function: String) throws -> Endpoint {
    // An empty GID is valid: the LID is used then.
    let gid = endpoint[EndpointKeys.gid]
    guard [0, 16].contains(gid.count) else {
        throw ErrorValue(
            kind: .argument, "\(function): a GID has 16 bytes, as qp:endpoint gives it, not \(gid.count)")
    }
    return Endpoint(number: endpoint[EndpointKeys.number], lid: endpoint[EndpointKeys.lid], gid: Array(gid))
}

private enum ConnectKeys {
    static let access = Key<UInt32>(
        "access", accessFlags(among: .ofPeers), default: UInt32(Access.ofPeers.rawValue),
        "what the peer may do; default: all")
    static let timeout = Key<UInt8>("timeout", .integer(0...31), default: 14, "4.096 us * 2^timeout; 0 for ever")
    static let retries = Key<UInt8>(
        "retry_cnt", .integer(0...7), default: 7, "how often a lost request is sent again"
    ).was("retries")
    static let receiverRetries = Key<UInt8>(
        "rnr_retry", .integer(0...7), default: 7, "how often one that finds no receive is; 7 is for ever"
    ).was("rnr_retries")
    static let all: [any TableKey] =
        [EndpointKeys.to, access] + PortKeys.all + [timeout, retries, receiverRetries]
}

/// The Q_Key of datagram queue pairs after `qp:to_rts`, and of their send requests, where a script gives none.
let defaultQKey: UInt32 = 0x1111_1111

private enum DatagramKeys {
    static let qkey = Key<UInt32>("qkey", default: defaultQKey, "what senders must name")
}

let qpClass = ObjectClass(
    QueuePair.luaName, type: "rdma.qp", short: "qp", "A queue pair.",
    methods: [
        Function(
            "endpoint", PortKeys.all.map(\.parameter), returns: [.record(endpointRecord)], "What the peer connects to.",
            entry: { Call($0, $1).run(endpoint) }),
        Function(
            "connect",
            [Parameter("request", .record(ConnectKeys.all), .required, "the peer, and how the connection behaves")],
            errors: [("EINVAL", "it is connected already, or the peer's values are none")],
            "ibv_modify_qp from RESET over INIT and RTR to RTS, of a connection.",
            entry: { Call($0, $1).run(connect) }),
        Function(
            "to_rts",
            [Parameter("request", .record([DatagramKeys.qkey, PortKeys.port]), .required, "its key")],
            errors: [("EINVAL", "it is a connection, or past RESET")],
            "ibv_modify_qp from RESET over INIT and RTR to RTS, of a queue pair for datagrams.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    try call[0].object(QueuePair.self).pointee.activate(
                        port: request[PortKeys.port], key: request[DatagramKeys.qkey])
                    return call.nothing
                }
            }
        ).was("activate"),
        Function(
            "query_data_in_order", [Parameter("opcode", .choice(operations), .required, "the kind of request")],
            returns: [.boolean],
            "ibv_query_qp_data_in_order: whether the bytes of one such request are written in order at this side (of read, those "
                + "that come back here). Only then the last byte tells that all are there.",
            entry: {
                Call($0, $1).run { call in
                    let opcode = ibv_wr_opcode(rawValue: call[1].uint32)
                    return call.push(try call[0].object(QueuePair.self).pointee.isInOrder(opcode))
                }
            }
        ).was("data_in_order"),
        Function(
            "post_send", [Parameter("request", .record(SendKeys.all), .required, "the work request")], effects: [.dma],
            errors: [
                ("ENOMEM", "the send queue is full: poll its completions; of mlx5 also: not connected"),
                ("EINVAL", "not connected"),
            ],
            "ibv_post_send of one request.", entry: { Call($0, $1).run(postSend) }),
        Function(
            "post_recv",
            [Parameter("request", .record([WorkKeys.id] + WorkKeys.piece), .required, "where a message goes")],
            effects: [.dma],
            errors: [("ENOMEM", "the receive queue is full")], "ibv_post_recv of one request.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    try call[0].object(QueuePair.self).pointee.postReceive(
                        id: request[WorkKeys.id], [try piece(request, "qp:post_recv")])
                    return call.nothing
                }
            }),
    ],
    close: { closeObject($0, $1, $2, QueuePair.self) }, destroy: { destroyObject($0, QueuePair.self) })

private func endpoint(_ call: Call) throws -> CInt {
    let index = call[2].isPresent ? UInt8(truncatingIfNeeded: call[2].int64) : nil
    let endpoint = try call[0].object(QueuePair.self).pointee.endpoint(
        port: UInt8(truncatingIfNeeded: call[1].int64), gidIndex: index)
    if let source = endpoint.source {
        call.host.facts["\(source.device).gid"] = "\(source.gid.index) \(source.gid.typeName) \(source.gid.text)"
    }
    return call.push(endpoint, as: endpointRecord)
}

private func connect(_ call: Call) throws -> CInt {
    let request = call[1].table
    let peer = try peer(request[EndpointKeys.to], "qp:connect")
    var options = ConnectionOptions()
    options.access = request[ConnectKeys.access]
    options.port = request[PortKeys.port]
    options.gidIndex = request[PortKeys.gidIndex]
    options.timeout = request[ConnectKeys.timeout]
    options.retries = request[ConnectKeys.retries]
    options.receiverRetries = request[ConnectKeys.receiverRetries]
    try call[0].object(QueuePair.self).pointee.connect(to: peer, options)
    return call.nothing
}
