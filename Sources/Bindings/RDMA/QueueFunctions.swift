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

private let port = Parameter("port", .integer(1...255), .integer(1), "from 1")
private let gidIndex = Parameter(
    "gid_index", .integer(0...255), .absent,
    "an entry of `context:gids`; default: RoCE v2 with an IPv4 address, "
        + "else the highest type there is")

/// Methods of an RDMA context that concern queues.
let queueContextMethods = [
    Function(
        "gids", [port], returns: "rdma.gid[]", "The port's GIDs: index, gid, type (\"ib\", \"roce-v1\", \"roce-v2\").",
        entry: {
            Call($0, $1).run { call in
                let gids = try call[0].object(RDMAContext.self).pointee.gids(
                    port: UInt8(truncatingIfNeeded: call[1].int64))
                return call.push(
                    .list(
                        gids.map {
                            .table([
                                "index": .integer(Int64($0.index)), "gid": .string($0.text),
                                "type": .string($0.typeName),
                            ])
                        }))
            }
        }),
    Function(
        "create_cq",
        [
            Parameter("entries", .integer(1...Int64(Int32.max)), .integer(64), "at least so many"),
            Parameter(
                "options",
                .record([Parameter("events", .boolean, .integer(0), "its completions can be waited for as events")]),
                .absent, "what else it can do"),
        ],
        returns: "rdma.cq", errors: [("EINVAL", "more than the device has")],
        "ibv_create_cq; with events, on a completion channel of its own.",
        entry: {
            Call($0, $1).run { call in
                let context = call[0].object(RDMAContext.self)
                let label = "of \(context.pointee.label)"
                return call.push(
                    object: try context.pointee.createCQ(
                        entries: call[1].int32, events: call[2].isPresent && call[2][0].bool), parent: 1, label: label)
            }
        }),
]

private func count(_ name: String, _ fallback: Int64, _ doc: String) -> Parameter {
    Parameter(name, .integer(0...Int64(Int32.max)), .integer(fallback), doc)
}

/// pd:create_qp
let createQPFunction = Function(
    "create_qp",
    [
        Parameter(
            "request",
            .record([
                Parameter("send_cq", .object(CompletionQueue.self), .required, "where sends complete"),
                Parameter("recv_cq", .object(CompletionQueue.self), .absent, "where receives do; default: send_cq"),
                count("send_wr", 64, "places for sends"), count("recv_wr", 64, "places for receives"),
                count("send_sge", 1, "pieces of a send"), count("recv_sge", 1, "pieces of a receive"),
                count("inline", 0, "bytes that can be sent inline"),
                Parameter("signal_all", .boolean, .integer(0), "every send completes, whatever its flags"),
                Parameter(
                    "type", .choice([("rc", 2), ("uc", 3), ("ud", 4)]), .integer(2),
                    "reliable connection (the default), unreliable connection, or datagrams"),
                Parameter("srq", .object(SharedReceiveQueue.self), .absent, "where receive requests come from"),
            ]), .required, "queues and capacities")
    ],
    returns: "rdma.qp", errors: [("EINVAL", "more than the device has"), ("ENOMEM", "no memory for it")],
    "ibv_create_qp, not yet connected or activated.",
    entry: {
        Call($0, $1).run { call in
            let request = call[1]
            let send = request[0].object(CompletionQueue.self)
            let receive = request[1].isPresent ? request[1].object(CompletionQueue.self) : send
            let capacity = ibv_qp_cap(
                max_send_wr: request[2].uint32, max_recv_wr: request[3].uint32, max_send_sge: request[4].uint32,
                max_recv_sge: request[5].uint32, max_inline_data: request[6].uint32)
            let qp = try call[0].object(ProtectionDomain.self).pointee.createQP(
                send: send.pointee, receive: receive.pointee, capacity: capacity, signalsAll: request[7].bool,
                type: ibv_qp_type(rawValue: request[8].uint32),
                shared: request[9].isPresent ? request[9].object(SharedReceiveQueue.self).pointee.srq : nil)
            let number = qp.number
            defer { for place in 0..<3 { call.keep(request[place < 2 ? place : 9], at: CInt(place)) } }
            return call.push(object: qp, parent: 1, number: number)
        }
    })

/// pd:create_ah, pd:create_srq
let addressFunctions = [
    Function(
        "create_ah",
        [
            Parameter(
                "request",
                .record([Parameter("to", .record(endpointKeys), .required, "the peer's endpoint"), port, gidIndex]),
                .required, "who gets the datagrams")
        ],
        returns: "rdma.ah", errors: [("EINVAL", "a port or GID that the device does not have")], "ibv_create_ah.",
        entry: {
            Call($0, $1).run { call in
                let request = call[1]
                let peer = try peer(request[0], "pd:create_ah")
                let ah = try call[0].object(ProtectionDomain.self).pointee.createAH(
                    to: peer, port: UInt8(truncatingIfNeeded: request[1].int64),
                    gidIndex: request[2].isPresent ? UInt8(truncatingIfNeeded: request[2].int64) : nil)
                return call.push(object: ah, parent: 1, number: peer.number)
            }
        }),
    Function(
        "create_srq",
        [
            Parameter(
                "request", .record([count("wr", 64, "receive requests"), count("sge", 1, "pieces of each")]), .required,
                "its capacity")
        ],
        returns: "rdma.srq", errors: [("EINVAL", "more than the device has")],
        "ibv_create_srq: receive requests for several queue pairs.",
        entry: {
            Call($0, $1).run { call in
                let domain = call[0].object(ProtectionDomain.self)
                let label = "of \(domain.pointee.label)"
                let srq = try domain.pointee.createSRQ(requests: call[1][0].uint32, pieces: call[1][1].uint32)
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
            [Parameter("request", .record([idKey] + pieceKeys), .required, "where a message goes")], effects: [.dma],
            errors: [("ENOMEM", "the queue is full")], "ibv_post_srq_recv of one request.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1]
                    try call[0].object(SharedReceiveQueue.self).pointee.postReceive(
                        id: request[0].uint64, [try piece(request, from: 1, "srq:post_recv")])
                    return call.nothing
                }
            }),
        Function(
            "set_limit", [Parameter("limit", .uint32, .required, "receive requests; 0 for none")],
            errors: [("EINVAL", "more than the queue holds")],
            "ibv_modify_srq: an event (context:wait_event, \"SRQ_LIMIT_REACHED\") once fewer receive requests are left.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(SharedReceiveQueue.self).pointee.set(limit: call[1].uint32)
                    return call.nothing
                }
            }),
    ],
    close: { closeObject($0, $1, $2, SharedReceiveQueue.self) }, destroy: { destroyObject($0, SharedReceiveQueue.self) }
)

private func peer(_ endpoint: Argument, _ function: String) throws -> Endpoint {
    // Without a GID a LID must do.
    guard [0, 16].contains(endpoint[2].bytes.count) else {
        throw ErrorValue(
            kind: .argument, "\(function): a GID has 16 bytes, as qp:endpoint gives it, not \(endpoint[2].bytes.count)"
        )
    }
    return Endpoint(
        number: endpoint[0].uint32, lid: UInt16(truncatingIfNeeded: endpoint[1].int64), gid: Array(endpoint[2].bytes))
}

private let endpointKeys = [
    Parameter("qpn", .integer(0...0xff_ffff), .required, "the peer's queue pair number"),
    Parameter("lid", .integer(0...0xffff), .integer(0), "its LID; 0 on Ethernet"),
    Parameter("gid", .string(0...16), .required, "its GID, 16 bytes"),
]

let qpClass = ObjectClass(
    QueuePair.luaName, type: "rdma.qp", short: "qp", "A queue pair.",
    methods: [
        Function(
            "endpoint", [port, gidIndex], returns: "rdma.endpoint",
            "What the peer connects to: qpn, lid, gid (16 bytes).", entry: { Call($0, $1).run(endpoint) }),
        Function(
            "connect",
            [
                Parameter(
                    "request",
                    .record([
                        Parameter("to", .record(endpointKeys), .required, "the peer's endpoint"),
                        Parameter(
                            "access", accessFlags(among: .ofPeers), .integer(Int64(Access.ofPeers.rawValue)),
                            "what the peer may do; default: all"),
                        port, gidIndex,
                        Parameter("timeout", .integer(0...31), .integer(14), "4.096 us * 2^timeout; 0 for ever"),
                        Parameter("retries", .integer(0...7), .integer(7), "how often a lost request is sent again"),
                        Parameter(
                            "rnr_retries", .integer(0...7), .integer(7),
                            "how often one that finds no receive is; 7 is for ever"),
                    ]), .required, "the peer, and how the connection behaves")
            ],
            errors: [("EINVAL", "it is connected already, or the peer's values are none")],
            "ibv_modify_qp from RESET over INIT and RTR to RTS, of a connection.",
            entry: { Call($0, $1).run(connect) }),
        Function(
            "activate",
            [
                Parameter(
                    "request",
                    .record([
                        Parameter("qkey", .uint32, .integer(0x1111_1111), "what senders must name"), port,
                    ]), .required, "its key")
            ],
            errors: [("EINVAL", "it is a connection, or active already")],
            "ibv_modify_qp from RESET over INIT and RTR to RTS, of a queue pair for datagrams.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(QueuePair.self).pointee.activate(
                        port: UInt8(truncatingIfNeeded: call[1][1].int64), key: call[1][0].uint32)
                    return call.nothing
                }
            }),
        Function(
            "post_send", [Parameter("request", .record(sendKeys), .required, "the work request")], effects: [.dma],
            errors: [("ENOMEM", "the send queue is full: poll its completions"), ("EINVAL", "not connected")],
            "ibv_post_send of one request.", entry: { Call($0, $1).run(postSend) }),
        Function(
            "post_recv",
            [Parameter("request", .record([idKey] + pieceKeys), .required, "where a message goes")], effects: [.dma],
            errors: [("ENOMEM", "the receive queue is full")], "ibv_post_recv of one request.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1]
                    try call[0].object(QueuePair.self).pointee.postReceive(
                        id: request[0].uint64, [try piece(request, from: 1, "qp:post_recv")])
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
    return call.push(
        .table([
            "qpn": .integer(Int64(endpoint.number)), "lid": .integer(Int64(endpoint.lid)),
            "gid": .bytes(endpoint.gid),
        ]))
}

private func connect(_ call: Call) throws -> CInt {
    let request = call[1]
    let peer = try peer(request[0], "qp:connect")
    var options = ConnectionOptions()
    options.access = request[1].uint32
    options.port = UInt8(truncatingIfNeeded: request[2].int64)
    options.gidIndex = request[3].isPresent ? UInt8(truncatingIfNeeded: request[3].int64) : nil
    options.timeout = UInt8(truncatingIfNeeded: request[4].int64)
    options.retries = UInt8(truncatingIfNeeded: request[5].int64)
    options.receiverRetries = UInt8(truncatingIfNeeded: request[6].int64)
    try call[0].object(QueuePair.self).pointee.connect(to: peer, options)
    return call.nothing
}

// MARK: Work requests

private let idKey = Parameter("id", .uint64, .integer(0), "what its completion is called")
private let pieceKeys = [
    Parameter("mr", .object(MemoryRegion.self), .required, "the local memory region"),
    Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
    Parameter("length", .size(0...0x8000_0000), .absent, "bytes; default: to its end"),
]
let operations: [(name: String, value: Int64)] = [
    ("write", IBV_WR_RDMA_WRITE), ("write_imm", IBV_WR_RDMA_WRITE_WITH_IMM), ("send", IBV_WR_SEND),
    ("send_imm", IBV_WR_SEND_WITH_IMM), ("read", IBV_WR_RDMA_READ), ("compare_swap", IBV_WR_ATOMIC_CMP_AND_SWP),
    ("fetch_add", IBV_WR_ATOMIC_FETCH_AND_ADD),
].map { ($0.0, Int64($0.1.rawValue)) }
private let sendKeys =
    [
        Parameter("op", .choice(operations), .required, "what is done")
    ] + pieceKeys + [
        Parameter("remote_addr", .uint64, .integer(0), "address in the peer's region, as `mr:addr` gives it"),
        Parameter("rkey", .uint32, .integer(0), "the peer's region's key"), idKey,
        Parameter("signaled", .boolean, .integer(1), "completes with success too; default true"),
        Parameter("inline", .boolean, .integer(0), "the bytes are taken at once, without the region's key"),
        Parameter("fence", .boolean, .integer(0), "waits for reads and atomics before it"),
        Parameter("imm", .uint32, .integer(0), "immediate data"),
        Parameter("compare_add", .uint64, .integer(0), "what an atomic compares with or adds"),
        Parameter("swap", .uint64, .integer(0), "what compare_swap leaves"),
        Parameter("solicited", .boolean, .integer(0), "asks for an event at the receiver"),
        Parameter("ah", .object(AddressHandle.self), .absent, "where a datagram goes"),
        Parameter("remote_qpn", .integer(0...0xff_ffff), .integer(0), "the receiver's number, of a datagram"),
        Parameter("remote_qkey", .uint32, .integer(0x1111_1111), "the receiver's key, of a datagram"),
    ]

/// The piece that three keys name. What lies outside its region is the NIC's to refuse, but a length must be known.
private func piece(_ request: Argument, from first: Int, _ name: String) throws -> ibv_sge {
    let mr = request[first].object(MemoryRegion.self)
    let offset = request[first + 1].uint64
    let whole = UInt64(mr.pointee.length)
    guard request[first + 2].isPresent || offset <= whole else {
        throw ErrorValue(kind: .argument, "\(name): offset \(offset) is behind the region's \(whole) bytes")
    }
    let length = request[first + 2].isPresent ? request[first + 2].uint64 : whole - offset
    guard length <= 0x8000_0000 else {
        throw ErrorValue(kind: .argument, "\(name): a piece has at most 2 GiB, not \(length) bytes")
    }
    return ibv_sge(
        addr: mr.pointee.start &+ offset, length: UInt32(truncatingIfNeeded: length), lkey: mr.pointee.lkey)
}

/// What an operation has no place for is not dropped.
private func checkUsed(_ request: Argument, isAtomic: Bool, isDatagram: Bool) throws(ErrorValue) {
    let op = request[0].int64
    let opName = operations.first { $0.value == op }?.name ?? ""
    func refuse(_ key: String, _ what: String) -> ErrorValue {
        ErrorValue(kind: .argument, "qp:post_send: '\(key)' is \(what); '\(opName)' has no place for it")
    }
    if !isAtomic, request[11].int64 != 0 { throw refuse("compare_add", "for compare_swap and fetch_add") }
    if op != Int64(IBV_WR_ATOMIC_CMP_AND_SWP.rawValue), request[12].int64 != 0 {
        throw refuse("swap", "for compare_swap")
    }
    let hasImmediate = [IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_WRITE_WITH_IMM].contains { Int64($0.rawValue) == op }
    if !hasImmediate, request[10].int64 != 0 { throw refuse("imm", "for write_imm and send_imm") }
    if !isDatagram, request[14].isPresent || request[15].int64 != 0 {
        throw ErrorValue(
            kind: .argument,
            "qp:post_send: '\(request[14].isPresent ? "ah" : "remote_qpn")' is for datagrams; this queue pair is connected"
        )
    }
}

private func postSend(_ call: Call) throws -> CInt {
    let request = call[1]
    var wr = ibv_send_wr()
    wr.opcode = ibv_wr_opcode(rawValue: request[0].uint32)
    let isAtomic = [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(wr.opcode)
    let isDatagram = call[0].object(QueuePair.self).pointee.isDatagram
    try checkUsed(request, isAtomic: isAtomic, isDatagram: isDatagram)
    wr.wr_id = request[6].uint64
    wr.send_flags =
        (request[7].bool ? IBV_SEND_SIGNALED.rawValue : 0) | (request[8].bool ? IBV_SEND_INLINE.rawValue : 0)
        | (request[9].bool ? IBV_SEND_FENCE.rawValue : 0)
        | (request[13].bool ? IBV_SEND_SOLICITED.rawValue : 0)
    wr.imm_data = request[10].uint32.bigEndian
    if isDatagram {
        wr.wr.ud.ah = request[14].isPresent ? request[14].object(AddressHandle.self).pointee.ah : nil
        wr.wr.ud.remote_qpn = request[15].uint32
        wr.wr.ud.remote_qkey = request[16].uint32
    } else if isAtomic {
        wr.wr.atomic.remote_addr = request[4].uint64
        wr.wr.atomic.rkey = request[5].uint32
        wr.wr.atomic.compare_add = request[11].uint64
        wr.wr.atomic.swap = request[12].uint64
    } else {
        wr.wr.rdma.remote_addr = request[4].uint64
        wr.wr.rdma.rkey = request[5].uint32
    }
    let piece = try piece(request, from: 1, "qp:post_send")
    try call.touch(Int(piece.length), "qp:post_send")
    try call[0].object(QueuePair.self).pointee.post(wr, [piece])
    return call.nothing
}
