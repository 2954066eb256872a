public import CKernel

private typealias Attributes = ibv_qp_attr
private typealias Path = ibv_ah_attr
private typealias Work = ibv_send_wr

/// A field for a member with an enumeration type, which has 4 bytes in C.
private func enumeration<Structure, Value>(
    _ name: String, _ path: KeyPath<Structure, Value>, _ format: Format = .decimal
) -> Field {
    Field(name, offset: place(path), size: 4, .input, format)
}

private func place<Structure, Value>(_ path: KeyPath<Structure, Value>) -> Int {
    guard let offset = MemoryLayout<Structure>.offset(of: path) else { preconditionFailure("it is not stored") }
    return offset
}

/// Structures of verbs.h: the one description of their members.
extension Layout {
    /// struct ibv_qp_attr: each member with its bit of attr_mask (IBV_QP_*). Without the path, IBV_QP_AV.
    public static let queuePairAttributes: [(bit: ibv_qp_attr_mask, field: Field)] = [
        (IBV_QP_STATE, enumeration("qp_state", \Attributes.qp_state, AttributeMask.states)),
        (IBV_QP_CUR_STATE, enumeration("cur_qp_state", \Attributes.cur_qp_state, AttributeMask.states)),
        (IBV_QP_PATH_MTU, enumeration("path_mtu", \Attributes.path_mtu, .names(mtus))),
        (IBV_QP_PATH_MIG_STATE, enumeration("path_mig_state", \Attributes.path_mig_state)),
        (IBV_QP_QKEY, Field("qkey", \Attributes.qkey)), (IBV_QP_RQ_PSN, Field("rq_psn", \Attributes.rq_psn)),
        (IBV_QP_SQ_PSN, Field("sq_psn", \Attributes.sq_psn)),
        (IBV_QP_DEST_QPN, Field("dest_qp_num", \Attributes.dest_qp_num, .input, .queueNumber)),
        (
            IBV_QP_ACCESS_FLAGS,
            Field("qp_access_flags", offset: place(\Attributes.qp_access_flags), size: 4, .input, Access.format)
        ),
        (IBV_QP_PKEY_INDEX, Field("pkey_index", \Attributes.pkey_index, .input, .decimal)),
        (IBV_QP_EN_SQD_ASYNC_NOTIFY, Field("en_sqd_async_notify", \Attributes.en_sqd_async_notify, .input, .decimal)),
        (IBV_QP_MAX_QP_RD_ATOMIC, Field("max_rd_atomic", \Attributes.max_rd_atomic, .input, .decimal)),
        (IBV_QP_MAX_DEST_RD_ATOMIC, Field("max_dest_rd_atomic", \Attributes.max_dest_rd_atomic, .input, .decimal)),
        (IBV_QP_MIN_RNR_TIMER, Field("min_rnr_timer", \Attributes.min_rnr_timer, .input, .decimal)),
        (IBV_QP_PORT, Field("port_num", \Attributes.port_num, .input, .decimal)),
        (IBV_QP_TIMEOUT, Field("timeout", \Attributes.timeout, .input, .decimal)),
        (IBV_QP_RETRY_CNT, Field("retry_cnt", \Attributes.retry_cnt, .input, .decimal)),
        (IBV_QP_RNR_RETRY, Field("rnr_retry", \Attributes.rnr_retry, .input, .decimal)),
    ]
    private static let mtus: [Format.Flag] = [
        .init(1, "256"), .init(2, "512"), .init(3, "1024"), .init(4, "2048"), .init(5, "4096"),
    ]

    /// struct ibv_ah_attr, whose GID is bytes (see ``pathGID``).
    public static let path = Layout(
        size: MemoryLayout<ibv_ah_attr>.size,
        [
            Field("sgid_index", offset: place(\Path.grh.sgid_index), size: 1, .input, .decimal),
            Field("flow_label", offset: place(\Path.grh.flow_label), size: 4),
            Field("hop_limit", offset: place(\Path.grh.hop_limit), size: 1, .input, .decimal),
            Field("traffic_class", offset: place(\Path.grh.traffic_class), size: 1, .input, .decimal),
            Field("dlid", \Path.dlid, .input, .decimal), Field("sl", \Path.sl, .input, .decimal),
            Field("src_path_bits", \Path.src_path_bits, .input, .decimal),
            Field("static_rate", \Path.static_rate, .input, .decimal),
            Field("is_global", \Path.is_global, .input, .decimal), Field("port_num", \Path.port_num, .input, .decimal),
        ])
    /// The members of struct ibv_wc.
    public static let completionFields: [Field] = {
        var failed = ibv_wc()
        failed.status = IBV_WC_FATAL_ERR
        var received = ibv_wc()
        received.opcode = IBV_WC_RECV
        received.wc_flags = IBV_WC_WITH_IMM.rawValue | IBV_WC_GRH.rawValue
        received.src_qp = 1
        return completion(failed).fields + completion(received).fields
    }()
    /// Offset of the destination GID's 16 bytes in struct ibv_ah_attr.
    public static let pathGID = place(\Path.grh.dgid)

    /// struct ibv_sge
    public static let piece = Layout(
        size: MemoryLayout<ibv_sge>.size,
        [
            Field("addr", \ibv_sge.addr, .input, .pointer), Field("length", \ibv_sge.length),
            Field("lkey", \ibv_sge.lkey, .input, .key),
        ])

    /// struct ibv_send_wr without its lists. Swift does not import its unions as members: imm_data follows send_flags,
    /// and each operation has its own view of `wr` (verbs.h).
    public static func work(_ opcode: UInt32) -> Layout {
        let immediate = place(\Work.send_flags) + 4
        let union = place(\Work.wr)
        var fields = [
            Field("wr_id", \Work.wr_id), enumeration("opcode", \Work.opcode, workRequests),
            Field("send_flags", offset: place(\Work.send_flags), size: 4, .input, sendFlags),
        ]
        if opcode == IBV_WR_RDMA_WRITE_WITH_IMM.rawValue || opcode == IBV_WR_SEND_WITH_IMM.rawValue {
            fields.append(Field("imm_data", offset: immediate, size: 4))
        }
        switch ibv_wr_opcode(rawValue: opcode) {
        case IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_READ:
            fields += [
                Field("remote_addr", offset: union, size: 8, .input, .pointer),
                Field("rkey", offset: union + 8, size: 4, .input, .key),
            ]
        case IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD:
            fields += [
                Field("remote_addr", offset: union, size: 8, .input, .pointer),
                Field("compare_add", offset: union + 8, size: 8), Field("swap", offset: union + 16, size: 8),
                Field("rkey", offset: union + 24, size: 4, .input, .key),
            ]
        case IBV_WR_BIND_MW:
            // Behind the union of RDMA, atomics and datagrams, and that of XRC, whose 4 bytes are padded.
            let bind = place(\Work.qp_type) + 8
            fields += [
                Field("mw", offset: bind, size: 8, .input, .handle(ObjectKind.mw.name)),
                Field("rkey", offset: bind + 8, size: 4, .input, .key),
                Field("mr", offset: bind + 16, size: 8, .input, .handle(ObjectKind.mr.name)),
                Field("addr", offset: bind + 24, size: 8, .input, .pointer),
                Field("length", offset: bind + 32, size: 8),
                Field("mw_access_flags", offset: bind + 40, size: 4, .input, Access.format),
            ]
        default:
            fields += [
                Field("ah", offset: union, size: 8, .input, .handle("ah")),
                Field("remote_qpn", offset: union + 8, size: 4, .input, .queueNumber),
                Field("remote_qkey", offset: union + 12, size: 4),
            ]
        }
        return Layout(size: MemoryLayout<ibv_send_wr>.size, fields)
    }
    static let workRequests = Format.names([
        .init(0, "RDMA_WRITE"), .init(1, "RDMA_WRITE_WITH_IMM"), .init(2, "SEND"), .init(3, "SEND_WITH_IMM"),
        .init(4, "RDMA_READ"), .init(5, "ATOMIC_CMP_AND_SWP"), .init(6, "ATOMIC_FETCH_AND_ADD"), .init(8, "BIND_MW"),
    ])
    private static let sendFlags = Format.flags([
        .init(1, "FENCE"), .init(2, "SIGNALED"), .init(4, "SOLICITED"), .init(8, "INLINE"), .init(16, "IP_CSUM"),
    ])

    /// struct ibv_recv_wr without its lists.
    public static let receive = Layout(
        size: MemoryLayout<ibv_recv_wr>.size, [Field("wr_id", \ibv_recv_wr.wr_id)])

    /// Members of work requests of any kind.
    static let workMembers: [Signature.Member] = {
        let kinds = [IBV_WR_RDMA_WRITE, IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_SEND, IBV_WR_BIND_MW]
        // A window's length has 64 bits, a piece's 32.
        return (kinds.flatMap { work($0.rawValue).fields } + piece.fields).map { Signature.Member($0) }
            + piece.fields.map { Signature.Member($0, in: "sg_list") }
    }()

    private static let completions = Format.names([
        .init(0, "SEND"), .init(1, "RDMA_WRITE"), .init(2, "RDMA_READ"), .init(3, "COMP_SWAP"), .init(4, "FETCH_ADD"),
        .init(5, "BIND_MW"),
        .init(128, "RECV"), .init(129, "RECV_RDMA_WITH_IMM"),
    ])
    /// Names of enum ibv_wc_status without IBV_WC_.
    public static let completionStatuses = [
        "SUCCESS", "LOC_LEN_ERR", "LOC_QP_OP_ERR", "LOC_EEC_OP_ERR", "LOC_PROT_ERR", "WR_FLUSH_ERR", "MW_BIND_ERR",
        "BAD_RESP_ERR", "LOC_ACCESS_ERR", "REM_INV_REQ_ERR", "REM_ACCESS_ERR", "REM_OP_ERR", "RETRY_EXC_ERR",
        "RNR_RETRY_EXC_ERR", "LOC_RDD_VIOL_ERR", "REM_INV_RD_REQ_ERR", "REM_ABORT_ERR", "INV_EECN_ERR",
        "INV_EEC_STATE_ERR", "FATAL_ERR", "RESP_TIMEOUT_ERR", "GENERAL_ERR", "TM_ERR", "TM_RNDV_INCOMPLETE",
    ]
    private static let statuses = Format.names(
        completionStatuses.enumerated().map { .init($0.offset, $0.element) })

    /// struct ibv_wc: for a success the members that verbs.h defines for its operation, for an error those that are
    /// valid then.
    public static func completion(_ wc: ibv_wc) -> Layout {
        var fields = [
            Field("wr_id", \ibv_wc.wr_id), enumeration("status", \ibv_wc.status, statuses),
            Field("qp_num", \ibv_wc.qp_num, .input, .queueNumber),
        ]
        if wc.status != IBV_WC_SUCCESS {
            fields.append(Field("vendor_err", \ibv_wc.vendor_err))
        } else {
            fields.append(enumeration("opcode", \ibv_wc.opcode, completions))
            if wc.opcode.rawValue & IBV_WC_RECV.rawValue != 0 {
                fields.append(Field("byte_len", \ibv_wc.byte_len))
                fields.append(Field("wc_flags", offset: place(\ibv_wc.wc_flags), size: 4))
            }
            if wc.wc_flags & IBV_WC_WITH_IMM.rawValue != 0 {
                fields.append(Field("imm_data", offset: place(\ibv_wc.byte_len) + 4, size: 4))
            }
            if wc.isOfDatagram {
                fields.append(Field("src_qp", \ibv_wc.src_qp, .input, .queueNumber))
            }
        }
        return Layout(size: MemoryLayout<ibv_wc>.size, fields)
    }
}
