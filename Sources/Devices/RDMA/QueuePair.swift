public import CKernel
import Glibc
public import Kernel

/// What a peer must know to connect to a queue pair.
public struct Endpoint: Sendable {
    /// The queue pair's number.
    public var number: UInt32
    /// The port's LID; 0 on Ethernet.
    public var lid: UInt16
    /// The port's GID, 16 bytes.
    public var gid: [UInt8]

    /// An endpoint; of `gid` 16 bytes are used, missing ones being 0.
    public init(number: UInt32, lid: UInt16, gid: [UInt8]) {
        self.init(number: number, lid: lid, gid: gid, source: nil)
    }

    /// Of one's own: the device's name and the entry of its GIDs.
    public let source: (device: String, gid: GIDEntry)?

    init(number: UInt32, lid: UInt16, gid: [UInt8], source: (device: String, gid: GIDEntry)?) {
        self.number = number
        self.lid = lid
        self.gid = gid
        self.source = source
    }
}

/// How a connection behaves. Defaults are perftest's.
public struct ConnectionOptions: Sendable {
    /// The local port, from 1.
    public var port: UInt8 = 1
    /// The entry of the port's GID table; nil for the one that `RDMAContext.chosenGID(port:)` takes.
    public var gidIndex: UInt8?
    /// What the peer may do: IBV_ACCESS_*.
    public var access: UInt32 = 0
    /// 4.096 us * 2^timeout until a request is tried again; 0 for ever.
    public var timeout: UInt8 = 14
    /// How often a lost request is tried again, 0 to 7.
    public var retries: UInt8 = 7
    /// How often a request is tried again that finds no receive request, 0 to 7; 7 is for ever.
    public var receiverRetries: UInt8 = 7

    /// perftest's.
    public init() {}
}

extension Endpoint {
    /// How to reach it from a port, by the entry `gidIndex` of its GIDs.
    func address(
        _ kernel: any Kernel, _ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8, gidIndex: UInt8?,
        _ label: String
    ) throws(Failure) -> ibv_ah_attr {
        var attributes = ibv_ah_attr()
        attributes.port_num = port
        attributes.dlid = lid
        if let entry = try GIDEntry.chosen(kernel, context, port, index: gidIndex, label),
            isGlobal(over: entry, isChosen: gidIndex != nil)
        {
            attributes.is_global = 1
            attributes.grh.sgid_index = UInt8(truncatingIfNeeded: entry.index)
            attributes.grh.hop_limit = 64
            withUnsafeMutableBytes(of: &attributes.grh.dgid) { $0.copyBytes(from: gid.prefix(16)) }
        }
        return attributes
    }

    /// Whether a packet to it has a global route header: always on Ethernet, which goes by addresses of the network; on
    /// InfiniBand, which goes by LID, where it has none, or where the user has chosen a GID.
    func isGlobal(over entry: GIDEntry, isChosen: Bool) -> Bool { entry.type != 0 || lid == 0 || isChosen }
}

/// A queue pair: a reliable or unreliable connection (RC, UC), or one for datagrams (UD).
public struct QueuePair: ~Copyable {
    private let kernel: any Kernel
    private let qp: UnsafeMutablePointer<ibv_qp>
    private let siblings: OpenChildCount
    private let capacity: ibv_qp_cap
    /// Places of its send queue, as granted.
    public var sendCapacity: Int { Int(capacity.max_send_wr) }
    /// Scatter/gather entries that a send may have.
    public var sendPieces: Int { Int(capacity.max_send_sge) }
    /// How messages call it.
    public let label: String
    /// False once it is destroyed.
    public private(set) var isOpen = true

    init(
        _ kernel: any Kernel, _ qp: UnsafeMutablePointer<ibv_qp>, capacity: ibv_qp_cap, in siblings: OpenChildCount,
        label: String
    ) {
        self.capacity = capacity
        self.kernel = kernel
        self.qp = qp
        self.siblings = siblings
        self.label = "qp 0x\(String(qp.pointee.qp_num, radix: 16)) of \(label)"
        siblings.count += 1
    }

    /// The number.
    public var number: UInt32 { qp.pointee.qp_num }

    /// What the peer must be told.
    public func endpoint(port: UInt8 = 1, gidIndex: UInt8? = nil) throws(Failure) -> Endpoint {
        guard let context = qp.pointee.context else { throw Failure("ibv_query_port", .invalid, object: label) }
        let attributes = try kernel.ask(Verbs.ibv_query_port, context, port, of: label)
        let entry = try GIDEntry.chosen(kernel, context, port, index: gidIndex, label)
        let device = context.pointee.deviceName ?? "nic"
        return Endpoint(
            number: number, lid: attributes.lid, gid: entry?.gid ?? [], source: entry.map { (device, $0) })
    }

    /// Connects to `peer`, through INIT and RTR to RTS.
    public func connect(to peer: Endpoint, _ options: ConnectionOptions) throws(Failure) {
        guard let context = qp.pointee.context else { throw Failure("ibv_modify_qp", .invalid, object: label) }
        guard !isDatagram else {
            throw Failure("ibv_modify_qp", .invalid, object: label, of: .datagramPair)
        }
        let port = try kernel.ask(Verbs.ibv_query_port, context, options.port, of: label)
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_INIT
        attributes.port_num = options.port
        attributes.qp_access_flags = options.access
        try modify(attributes, [IBV_QP_STATE, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_ACCESS_FLAGS])
        attributes.qp_state = IBV_QPS_RTR
        attributes.path_mtu = port.active_mtu
        attributes.dest_qp_num = peer.number
        attributes.max_dest_rd_atomic = 1
        attributes.min_rnr_timer = 12
        attributes.ah_attr = try peer.address(kernel, context, options.port, gidIndex: options.gidIndex, label)
        let path = [IBV_QP_STATE, IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_DEST_QPN, IBV_QP_RQ_PSN]
        let mask = isReliable ? path + [IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER] : path
        try modify(attributes, mask, QueueLimits(context, kernel).hint(connecting: options.access))
        attributes.qp_state = IBV_QPS_RTS
        attributes.timeout = options.timeout
        attributes.retry_cnt = options.retries
        attributes.rnr_retry = options.receiverRetries
        attributes.max_rd_atomic = 1
        let retries = [IBV_QP_TIMEOUT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_MAX_QP_RD_ATOMIC]
        try modify(attributes, [IBV_QP_STATE, IBV_QP_SQ_PSN] + (isReliable ? retries : []))
    }

    private var isReliable: Bool { qp.pointee.qp_type == IBV_QPT_RC }
    /// Whether it sends datagrams, each to an address of its own.
    public var isDatagram: Bool { qp.pointee.qp_type == IBV_QPT_UD }

    /// Makes one for datagrams ready, through INIT and RTR to RTS. `key` is what its peers must name (the Q_Key).
    public func activate(port: UInt8 = 1, key: UInt32) throws(Failure) {
        guard isDatagram else {
            throw Failure("ibv_modify_qp", .invalid, object: label, of: .connection)
        }
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_INIT
        attributes.port_num = port
        attributes.qkey = key
        try modify(attributes, [IBV_QP_STATE, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_QKEY])
        attributes.qp_state = IBV_QPS_RTR
        try modify(attributes, [IBV_QP_STATE])
        attributes.qp_state = IBV_QPS_RTS
        try modify(attributes, [IBV_QP_STATE, IBV_QP_SQ_PSN])
    }

    /// `unsupported` is what EOPNOTSUPP means.
    private func modify(
        _ attributes: ibv_qp_attr, _ mask: [ibv_qp_attr_mask], _ unsupported: @autoclosure () -> String? = nil
    ) throws(Failure) {
        let bits = mask.reduce(0) { $0 | $1.rawValue }
        try kernel.ask(Verbs.ibv_modify_qp, qp, attributes, Int32(bitPattern: bits), of: label) {
            $0 == .notSupported ? unsupported() : nil
        }
    }

    /// ibv_query_qp_data_in_order(3): whether a request of this kind is written in order at this side.
    public func isInOrder(_ opcode: ibv_wr_opcode) throws(Failure) -> Bool {
        try kernel.ask(Verbs.ibv_query_qp_data_in_order, qp, opcode.rawValue, 0, of: label)
    }

    /// ibv_post_send(3) of one request; its list of pieces is `pieces`.
    public func post(_ request: ibv_send_wr, _ pieces: [ibv_sge]) throws(Failure) {
        if request.opcode == IBV_WR_BIND_MW {
            // Providers look into both without asking whether they are there.
            guard request.bind_mw.mw?.pointee.type == IBV_MW_TYPE_2, request.bind_mw.bind_info.mr != nil, !isDatagram
            else {
                throw Failure(
                    "ibv_post_send", .invalid, object: label,
                    hint: "a connection binds a window of type 2 to a region; there is no work request for others")
            }
        }
        // Providers read the address without looking whether there is one.
        guard !isDatagram || request.wr.ud.ah != nil else {
            throw Failure("ibv_post_send", .invalid, object: label, of: .datagramWithoutAddress)
        }
        if request.send_flags & IBV_SEND_INLINE.rawValue != 0 {
            for piece in pieces { try checkMapped("ibv_post_send", piece.addr, UInt64(piece.length)) }
        }
        var request = request
        var pieces = pieces
        request.num_sge = Int32(pieces.count)
        do throws(Errno) {
            try pieces.withUnsafeMutableBufferPointer { (list) throws(Errno) in
                request.sg_list = list.baseAddress
                try withUnsafeMutablePointer(to: &request) { (request) throws(Errno) in
                    try kernel.call(Verbs.ibv_post_send, qp, request)
                }
            }
        } catch {
            let isInline = request.send_flags & IBV_SEND_INLINE.rawValue != 0
            let length = isInline ? pieces.reduce(0) { $0 + UInt64($1.length) } : nil
            throw Failure(
                "ibv_post_send", error, object: label, hint: causes(pieces.count).sendHint(error, inline: length))
        }
        // The key that the window has once this is done: the next one that binds it names it.
        if request.opcode == IBV_WR_BIND_MW { request.bind_mw.mw.pointee.rkey = request.bind_mw.rkey }
    }

    private func causes(_ pieces: Int) -> PostCauses {
        PostCauses(state: qp.pointee.state, capacity: capacity, isDatagram: isDatagram, pieces: pieces)
    }

    /// EFAULT where the host itself, which copies inline data and looks for a peer's message, would fault.
    private func checkMapped(_ name: String, _ address: UInt64, _ length: UInt64) throws(Failure) {
        guard sys_mapped(address, length) != 0 else { return }
        throw Failure(
            name, .badAddress, object: label,
            hint:
                "nothing is mapped at 0x\(String(address, radix: 16)), where the host reads or writes the bytes itself: "
                + "close the memory last, and use no region of a dma-buf for this")
    }

    /// ibv_post_recv(3) of one request.
    public func postReceive(id: UInt64, _ pieces: [ibv_sge]) throws(Failure) {
        guard qp.pointee.srq == nil else {
            throw Failure("ibv_post_recv", .invalid, object: label, of: .pairOfSharedQueue)
        }
        try ReceiveRequest.post(id, pieces) { (request) throws(Failure) in
            try kernel.ask(Verbs.ibv_post_recv, qp, request, of: label) { causes(pieces.count).receiveHint($0) }
        }
    }

    /// Refuses a stream whose completions a queue cannot hold: it would overrun, after which it takes none.
    public static func check(
        _ plan: TrafficPlan, on pairs: [UnsafeMutablePointer<QueuePair>]
    ) throws(TrafficPlan.Mistake) {
        for pair in pairs {
            guard let cq = pair.pointee.qp.pointee.send_cq else { continue }
            let sharing = pairs.count { $0.pointee.qp.pointee.send_cq == cq }
            let entries = Int(cq.pointee.cqe)
            guard sharing * plan.reports > entries else { continue }
            throw TrafficPlan.Mistake(
                message:
                    "up to \(sharing * plan.reports) completions may wait in a completion queue of \(entries) entries, which "
                    + "would overrun: create it with more (create_cq), or have a larger signal_every or a smaller depth"
            )
        }
    }

    /// Sends a stream of messages on these queue pairs. The plan must have been checked.
    public static func stream(
        _ plan: TrafficPlan, on pairs: [UnsafeMutablePointer<QueuePair>]
    ) throws(Failure) -> TrafficResult {
        let label = pairs[0].pointee.label + (pairs.count > 1 ? " and \(pairs.count - 1) more" : "")
        var queues: [UnsafeMutablePointer<ibv_cq>] = []
        for (index, pair) in pairs.enumerated() {
            guard let cq = pair.pointee.qp.pointee.send_cq, !pair.pointee.isDatagram else {
                throw Failure("ibv_post_send", .invalid, object: pair.pointee.label, of: .stream)
            }
            guard !pairs[..<index].contains(pair) else {
                throw Failure(
                    "ibv_post_send", .invalid, object: pair.pointee.label, hint: "it is twice among the queue pairs")
            }
            if !queues.contains(cq) { queues.append(cq) }
        }
        if plan.isInline {
            try pairs[0].pointee.checkMapped(
                "ibv_post_send", plan.local.address, UInt64(plan.size) &* UInt64(plan.slots))
        }
        var stream = TrafficStream(pairs.map { $0.pointee.qp }, queues, plan)
        do throws(Errno) { return try stream.run() } catch {
            switch error {
            case .timedOut:
                throw Failure(
                    "ibv_poll_cq", error, object: label,
                    hint:
                        "no completion came for \(plan.patience / 1_000_000) ms of this machine's clock: \(plan.silence)"
                )
            case .protocolError:
                let taken = stream.foreign.map {
                    "; taken was that of wr_id \($0.id), queue pair \($0.number), \($0.statusName)"
                }
                throw Failure("ibv_poll_cq", error, object: label + (taken ?? ""), of: .stream)
            case .interrupted: throw Failure("ibv_poll_cq", error, object: label, of: .stream)
            default:
                let pair = pairs[stream.refusing]
                throw Failure(
                    "ibv_post_send", error, object: pair.pointee.label,
                    hint: pair.pointee.causes(plan.pieces).sendHint(
                        error, inline: plan.isInline ? UInt64(plan.size) : nil))
            }
        }
    }

    /// Makes ready for the peer's first message. Both sides must have done so before either calls ``pingPong(_:)``.
    public func preparePingPong(_ plan: PingPongPlan) throws(Failure) {
        guard qp.pointee.srq == nil, !isDatagram else {
            throw Failure("ibv_post_recv", .invalid, object: label, of: .pingPong)
        }
        for place in [plan.from, plan.into] { try checkMapped("ibv_post_send", place.address, UInt64(plan.size)) }
        do throws(Errno) { try PingPong.prepare(qp, plan) } catch {
            throw Failure("ibv_post_recv", error, object: label, hint: causes(1).receiveHint(error))
        }
    }

    /// Messages to and fro, this side's part. Returns half of each round trip in nanoseconds, and what went wrong.
    public func pingPong(_ plan: PingPongPlan) throws(Failure) -> (latencies: [UInt32], failure: Completion?) {
        guard let sends = qp.pointee.send_cq, let receives = qp.pointee.recv_cq,
            var loop = PingPong(qp, sends, receives, plan)
        else { throw Failure("ibv_post_send", .invalid, object: label) }
        do throws(Errno) { return try loop.run() } catch {
            throw Failure(
                "ibv_poll_cq", error, object: label,
                hint: error == .timedOut
                    ? "nothing came for \(plan.patience / 1_000_000) ms: the peer is lost" : nil)
        }
    }

    /// ibv_destroy_qp(3). One that could not be destroyed stays open.
    public mutating func close() throws(Failure) {
        let (kernel, qp) = (kernel, qp)
        try siblings.end(&isOpen, "ibv_destroy_qp", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_destroy_qp, qp)
        }
    }
}

/// An entry of a port's GID table.
public struct GIDEntry: Sendable {
    /// What ibv_ah_attr calls it.
    public let index: UInt32
    /// 16 bytes.
    public let gid: [UInt8]
    /// 0 InfiniBand, 1 RoCE v1, 2 RoCE v2 (enum ibv_gid_type).
    public let type: UInt32

    /// "ib", "roce-v1", "roce-v2"
    public var typeName: String {
        switch type {
        case 0: "ib"
        case 1: "roce-v1"
        default: "roce-v2"
        }
    }

    /// Groups of four digits, as sysfs shows them.
    public var text: String {
        let pairs = gid.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        return stride(from: 0, to: pairs.count - 1, by: 2).map { pairs[$0] + pairs[$0 + 1] }.joined(separator: ":")
    }

    /// How much it is preferred: RoCE v2 with an IPv4 address, RoCE v2, RoCE v1, InfiniBand.
    private var rank: Int {
        let isIPv4 = gid.prefix(12).elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
        return Int(type) * 2 + (isIPv4 ? 1 : 0)
    }

    /// The table of a port; empty entries are left out.
    static func table(
        _ kernel: any Kernel, _ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8, _ label: String
    ) throws(Failure) -> [GIDEntry] {
        try kernel.ask(Verbs.ibv_query_gid_table, context, of: label)
            .filter { $0.port_num == UInt32(port) }.map(GIDEntry.init)
    }

    /// The entry with an index, or the preferred one; nil where the port has none.
    static func chosen(
        _ kernel: any Kernel, _ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8, index: UInt8?,
        _ label: String
    ) throws(Failure) -> GIDEntry? {
        let table = try table(kernel, context, port, label)
        guard let index else { return table.max { $0.rank < $1.rank } }
        guard let entry = table.first(where: { $0.index == index }) else {
            let known = table.map { "\($0.index) (\($0.typeName) \($0.text))" }.joined(separator: ", ")
            throw Failure(
                "ibv_query_gid_table", .invalid, object: label, request: "port=\(port), index=\(index)",
                hint: "its GIDs are: \(known)")
        }
        return entry
    }

    init(index: UInt32, gid: [UInt8], type: UInt32) { (self.index, self.gid, self.type) = (index, gid, type) }

    private init(_ entry: ibv_gid_entry) {
        index = entry.gid_index
        type = entry.gid_type
        var gid = entry.gid
        self.gid = withUnsafeBytes(of: &gid) { Array($0) }
    }
}
