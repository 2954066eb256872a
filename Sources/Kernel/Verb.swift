/// One libibverbs function as traces show it. The protocol `VerbsCalls` is its signature; this row its parameters.
public struct Verb: Sendable {
    /// The C name.
    public let name: String
    /// Name and format of each parameter, in C order.
    public let parameters: [(name: String, format: Format)]

    static let access = Format.flags([
        .init(1, "LOCAL_WRITE"), .init(2, "REMOTE_WRITE"), .init(4, "REMOTE_READ"), .init(8, "REMOTE_ATOMIC"),
        .init(16, "MW_BIND"), .init(32, "ZERO_BASED"), .init(64, "ON_DEMAND"), .init(128, "HUGETLB"),
        .init(1 << 20, "RELAXED_ORDERING"),
    ])

    static let getDeviceList = Verb(name: "ibv_get_device_list", parameters: [])
    static let openDevice = Verb(name: "ibv_open_device", parameters: [("device", .pointer)])
    static let closeDevice = Verb(name: "ibv_close_device", parameters: [("context", .pointer)])
    static let queryDevice = Verb(name: "ibv_query_device", parameters: [("context", .pointer)])
    static let queryPort = Verb(name: "ibv_query_port", parameters: [("context", .pointer), ("port", .decimal)])
    static let allocPD = Verb(name: "ibv_alloc_pd", parameters: [("context", .pointer)])
    static let deallocPD = Verb(name: "ibv_dealloc_pd", parameters: [("pd", .pointer)])
    static let regMR = Verb(
        name: "ibv_reg_mr",
        parameters: [("pd", .pointer), ("addr", .pointer), ("length", .hexadecimal), ("access", access)])
    private static let dmabufParameters: [(name: String, format: Format)] = [
        ("pd", .pointer), ("offset", .hexadecimal), ("length", .hexadecimal), ("iova", .hexadecimal),
        ("fd", .descriptor), ("access", access),
    ]
    static let regDmabufMR = Verb(name: "ibv_reg_dmabuf_mr", parameters: dmabufParameters)
    static let mlx5dvRegDmabufMR = Verb(
        name: "mlx5dv_reg_dmabuf_mr",
        parameters: dmabufParameters + [("mlx5_access", .flags([.init(1, "DATA_DIRECT")]))])
    static let deregMR = Verb(name: "ibv_dereg_mr", parameters: [("mr", .pointer)])
    static let regMREx = Verb(
        name: "ibv_reg_mr_ex",
        parameters: [
            ("pd", .pointer), ("length", .hexadecimal), ("access", access),
            (
                "comp_mask",
                .flags([
                    .init(1, "IOVA"), .init(2, "ADDR"), .init(4, "FD"), .init(8, "FD_OFFSET"), .init(16, "DMAH"),
                ])
            ), ("iova", .hexadecimal), ("addr", .pointer), ("fd", .descriptor), ("fd_offset", .hexadecimal),
            ("dmah", .pointer),
        ])
    static let allocDMAH = Verb(
        name: "ibv_alloc_dmah",
        parameters: [
            ("context", .pointer),
            ("comp_mask", .flags([.init(1, "CPU_ID"), .init(2, "PH"), .init(4, "TPH_MEM_TYPE")])),
            ("cpu_id", .decimal), ("ph", .decimal),
            ("tph_mem_type", .names([.init(0, "VM"), .init(1, "PM")])),
        ])
    static let deallocDMAH = Verb(name: "ibv_dealloc_dmah", parameters: [("dmah", .pointer)])
    static let queryGIDTable = Verb(name: "ibv_query_gid_table", parameters: [("context", .pointer)])
    static let createCompChannel = Verb(name: "ibv_create_comp_channel", parameters: [("context", .pointer)])
    static let destroyCompChannel = Verb(name: "ibv_destroy_comp_channel", parameters: [("channel", .pointer)])
    static let createCQ = Verb(
        name: "ibv_create_cq", parameters: [("context", .pointer), ("cqe", .decimal), ("channel", .pointer)])
    static let reqNotifyCQ = Verb(
        name: "ibv_req_notify_cq", parameters: [("cq", .pointer), ("solicited_only", .decimal)])
    static let getCQEvent = Verb(
        name: "ibv_get_cq_event", parameters: [("channel", .pointer), ("milliseconds", .decimal)])
    static let modifyCQ = Verb(
        name: "ibv_modify_cq", parameters: [("cq", .pointer), ("cq_count", .decimal), ("cq_period", .decimal)])
    static let destroyCQ = Verb(name: "ibv_destroy_cq", parameters: [("cq", .pointer)])
    static let createQP = Verb(
        name: "ibv_create_qp",
        parameters: [
            ("pd", .pointer), ("qp_type", .names([.init(2, "RC"), .init(3, "UC"), .init(4, "UD")])),
            ("send_cq", .pointer), ("recv_cq", .pointer), ("max_send_wr", .decimal), ("max_recv_wr", .decimal),
            ("max_send_sge", .decimal), ("max_recv_sge", .decimal), ("max_inline_data", .decimal),
        ])
    static let destroyQP = Verb(name: "ibv_destroy_qp", parameters: [("qp", .pointer)])
    static let createAH = Verb(
        name: "ibv_create_ah",
        parameters: [("pd", .pointer), ("dlid", .decimal), ("port_num", .decimal), ("sgid_index", .decimal)])
    static let destroyAH = Verb(name: "ibv_destroy_ah", parameters: [("ah", .pointer)])
    static let createSRQ = Verb(
        name: "ibv_create_srq", parameters: [("pd", .pointer), ("max_wr", .decimal), ("max_sge", .decimal)])
    static let destroySRQ = Verb(name: "ibv_destroy_srq", parameters: [("srq", .pointer)])
    static let modifySRQ = Verb(name: "ibv_modify_srq", parameters: [("srq", .pointer), ("srq_limit", .decimal)])
    static let getAsyncEvent = Verb(
        name: "ibv_get_async_event", parameters: [("context", .pointer), ("milliseconds", .decimal)])
    static let allocDM = Verb(name: "ibv_alloc_dm", parameters: [("context", .pointer), ("length", .hexadecimal)])
    static let freeDM = Verb(name: "ibv_free_dm", parameters: [("dm", .pointer)])
    private static let copyParameters: [(name: String, format: Format)] = [
        ("dm", .pointer), ("dm_offset", .hexadecimal), ("length", .hexadecimal),
    ]
    static let memcpyToDM = Verb(name: "ibv_memcpy_to_dm", parameters: copyParameters)
    static let memcpyFromDM = Verb(name: "ibv_memcpy_from_dm", parameters: copyParameters)
    static let regDMMR = Verb(
        name: "ibv_reg_dm_mr",
        parameters: [
            ("pd", .pointer), ("dm", .pointer), ("dm_offset", .hexadecimal), ("length", .hexadecimal),
            ("access", access),
        ])
    static let frmrPools = Verb(name: "frmr_pools", parameters: [("context", .pointer)])
    static let postSRQRecv = Verb(
        name: "ibv_post_srq_recv", parameters: [("srq", .pointer), ("wr_id", .hexadecimal), ("num_sge", .decimal)])
    static let modifyQP = Verb(
        name: "ibv_modify_qp",
        parameters: [
            ("qp", .pointer), ("attr_mask", modifyMask), ("qp_state", queueStates), ("dest_qp_num", .hexadecimal),
            ("qp_access_flags", access),
        ])
    private static let queueStates = Format.names([
        .init(0, "RESET"), .init(1, "INIT"), .init(2, "RTR"), .init(3, "RTS"), .init(4, "SQD"), .init(5, "SQE"),
        .init(6, "ERR"),
    ])
    private static let modifyMask = Format.flags(
        [
            "STATE", "CUR_STATE", "EN_SQD_ASYNC_NOTIFY", "ACCESS_FLAGS", "PKEY_INDEX", "PORT", "QKEY", "AV",
            "PATH_MTU", "TIMEOUT", "RETRY_CNT", "RNR_RETRY", "RQ_PSN", "MAX_QP_RD_ATOMIC", "ALT_PATH",
            "MIN_RNR_TIMER", "SQ_PSN", "MAX_DEST_RD_ATOMIC", "PATH_MIG_STATE", "CAP", "DEST_QPN",
        ].enumerated().map { .init(1 << $0.offset, $0.element) })
    static let postSend = Verb(
        name: "ibv_post_send",
        parameters: [
            ("qp", .pointer), ("wr_id", .hexadecimal), ("opcode", workRequests),
            (
                "send_flags",
                .flags([
                    .init(1, "FENCE"), .init(2, "SIGNALED"), .init(4, "SOLICITED"), .init(8, "INLINE"),
                    .init(16, "IP_CSUM"),
                ])
            ), ("num_sge", .decimal), ("length", .hexadecimal), ("remote_addr", .hexadecimal), ("rkey", .hexadecimal),
        ])
    private static let workRequests = Format.names([
        .init(0, "RDMA_WRITE"), .init(1, "RDMA_WRITE_WITH_IMM"), .init(2, "SEND"), .init(3, "SEND_WITH_IMM"),
        .init(4, "RDMA_READ"), .init(5, "ATOMIC_CMP_AND_SWP"), .init(6, "ATOMIC_FETCH_AND_ADD"),
    ])
    static let postRecv = Verb(
        name: "ibv_post_recv", parameters: [("qp", .pointer), ("wr_id", .hexadecimal), ("num_sge", .decimal)])
    static let pollCQ = Verb(name: "ibv_poll_cq", parameters: [("cq", .pointer), ("num_entries", .decimal)])
    static let mkeyContext = Verb(name: "mkey_context", parameters: [("mr", .pointer)])
}
