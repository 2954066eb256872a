/// The libibverbs functions.
extension Signature {
    static let access = Format.flags([
        .init(1, "LOCAL_WRITE"), .init(2, "REMOTE_WRITE"), .init(4, "REMOTE_READ"), .init(8, "REMOTE_ATOMIC"),
        .init(16, "MW_BIND"), .init(32, "ZERO_BASED"), .init(64, "ON_DEMAND"), .init(128, "HUGETLB"),
        .init(1 << 20, "RELAXED_ORDERING"),
    ])

    static let getDeviceList = Signature("ibv_get_device_list", [])
    static let openDevice = Signature(
        "ibv_open_device", [("device", .handle("device"))], result: .handle("context"))
    static let closeDevice = Signature("ibv_close_device", [("context", .handle("context"))])
    static let queryDevice = Signature("ibv_query_device", [("context", .handle("context"))])
    static let queryPort = Signature("ibv_query_port", [("context", .handle("context")), ("port", .decimal)])
    static let allocPD = Signature(
        "ibv_alloc_pd", [("context", .handle("context"))], result: .handle("pd"))
    static let deallocPD = Signature("ibv_dealloc_pd", [("pd", .handle("pd"))])
    static let regMR = Signature(
        "ibv_reg_mr",
        [("pd", .handle("pd")), ("addr", .pointer), ("length", .hexadecimal), ("access", access)],
        result: .handle("mr"), outputs: keys)
    private static let keys: [(name: String, format: Format)] = [("lkey", .key), ("rkey", .key)]
    private static let dmabufParameters: [(name: String, format: Format)] = [
        ("pd", .handle("pd")), ("offset", .hexadecimal), ("length", .hexadecimal), ("iova", .pointer),
        ("fd", .descriptor), ("access", access),
    ]
    static let regDmabufMR = Signature(
        "ibv_reg_dmabuf_mr", dmabufParameters, result: .handle("mr"), outputs: keys)
    static let mlx5dvRegDmabufMR = Signature(
        "mlx5dv_reg_dmabuf_mr",
        dmabufParameters + [("mlx5_access", .flags([.init(1, "DATA_DIRECT")]))],
        result: .handle("mr"), outputs: keys)
    static let deregMR = Signature("ibv_dereg_mr", [("mr", .handle("mr"))])
    static let regMREx = Signature(
        "ibv_reg_mr_ex",
        [
            ("pd", .handle("pd")), ("length", .hexadecimal), ("access", access),
            (
                "comp_mask",
                .flags([
                    .init(1, "IOVA"), .init(2, "ADDR"), .init(4, "FD"), .init(8, "FD_OFFSET"), .init(16, "DMAH"),
                ])
            ), ("iova", .pointer), ("addr", .pointer), ("fd", .descriptor), ("fd_offset", .hexadecimal),
            ("dmah", .handle("dmah")),
        ], result: .handle("mr"), outputs: keys)
    static let allocDMAH = Signature(
        "ibv_alloc_dmah",
        [
            ("context", .handle("context")),
            ("comp_mask", .flags([.init(1, "CPU_ID"), .init(2, "PH"), .init(4, "TPH_MEM_TYPE")])),
            ("cpu_id", .decimal), ("ph", .decimal),
            ("tph_mem_type", .names([.init(0, "VM"), .init(1, "PM")])),
        ], result: .handle("dmah"))
    static let deallocDMAH = Signature("ibv_dealloc_dmah", [("dmah", .handle("dmah"))])
    static let queryGIDTable = Signature("ibv_query_gid_table", [("context", .handle("context"))])
    static let createCompChannel = Signature(
        "ibv_create_comp_channel", [("context", .handle("context"))], result: .handle("channel"))
    static let destroyCompChannel = Signature("ibv_destroy_comp_channel", [("channel", .handle("channel"))])
    static let createCQ = Signature(
        "ibv_create_cq", [("context", .handle("context")), ("cqe", .decimal), ("channel", .handle("channel"))],
        result: .handle("cq"))
    static let reqNotifyCQ = Signature(
        "ibv_req_notify_cq", [("cq", .handle("cq")), ("solicited_only", .decimal)])
    static let getCQEvent = Signature(
        "ibv_get_cq_event", [("channel", .handle("channel")), ("milliseconds", .decimal)])
    static let modifyCQ = Signature(
        "ibv_modify_cq", [("cq", .handle("cq")), ("cq_count", .decimal), ("cq_period", .decimal)])
    static let destroyCQ = Signature("ibv_destroy_cq", [("cq", .handle("cq"))])
    static let createQP = Signature(
        "ibv_create_qp",
        [
            ("pd", .handle("pd")), ("qp_type", .names([.init(2, "RC"), .init(3, "UC"), .init(4, "UD")])),
            ("send_cq", .handle("cq")), ("recv_cq", .handle("cq")), ("srq", .handle("srq")), ("sq_sig_all", .decimal),
            ("max_send_wr", .decimal), ("max_recv_wr", .decimal), ("max_send_sge", .decimal),
            ("max_recv_sge", .decimal), ("max_inline_data", .decimal),
        ], result: .handle("qp"), outputs: [("qp_num", .queueNumber)])
    static let destroyQP = Signature("ibv_destroy_qp", [("qp", .handle("qp"))])
    static let createAH = Signature(
        "ibv_create_ah", [("pd", .handle("pd")), ("attr", .hexadecimal)], result: .handle("ah"))
    static let destroyAH = Signature("ibv_destroy_ah", [("ah", .handle("ah"))])
    static let createSRQ = Signature(
        "ibv_create_srq",
        [("pd", .handle("pd")), ("max_wr", .decimal), ("max_sge", .decimal), ("srq_limit", .decimal)],
        result: .handle("srq"))
    static let destroySRQ = Signature("ibv_destroy_srq", [("srq", .handle("srq"))])
    static let modifySRQ = Signature("ibv_modify_srq", [("srq", .handle("srq")), ("srq_limit", .decimal)])
    static let getAsyncEvent = Signature(
        "ibv_get_async_event", [("context", .handle("context")), ("milliseconds", .decimal)])
    static let allocDM = Signature(
        "ibv_alloc_dm", [("context", .handle("context")), ("length", .hexadecimal)], result: .handle("dm"))
    static let freeDM = Signature("ibv_free_dm", [("dm", .handle("dm"))])
    private static let copyParameters: [(name: String, format: Format)] = [
        ("dm", .handle("dm")), ("dm_offset", .hexadecimal), ("bytes", .hexadecimal), ("length", .hexadecimal),
    ]
    static let memcpyToDM = Signature("ibv_memcpy_to_dm", copyParameters)
    static let memcpyFromDM = Signature("ibv_memcpy_from_dm", copyParameters, output: "bytes")
    static let regDMMR = Signature(
        "ibv_reg_dm_mr",
        [
            ("pd", .handle("pd")), ("dm", .handle("dm")), ("dm_offset", .hexadecimal), ("length", .hexadecimal),
            ("access", access),
        ], result: .handle("mr"), outputs: keys)
    static let frmrPools = Signature("frmr_pools", [("context", .handle("context"))])
    static let postSRQRecv = Signature("ibv_post_srq_recv", [("srq", .handle("srq")), ("wr", .hexadecimal)])
    static let modifyQP = Signature(
        "ibv_modify_qp", [("qp", .handle("qp")), ("attr", .hexadecimal), ("attr_mask", modifyMask)])
    static let queueStates = Format.names([
        .init(0, "RESET"), .init(1, "INIT"), .init(2, "RTR"), .init(3, "RTS"), .init(4, "SQD"), .init(5, "SQE"),
        .init(6, "ERR"),
    ])
    private static let modifyMask = Format.flags(
        [
            "STATE", "CUR_STATE", "EN_SQD_ASYNC_NOTIFY", "ACCESS_FLAGS", "PKEY_INDEX", "PORT", "QKEY", "AV",
            "PATH_MTU", "TIMEOUT", "RETRY_CNT", "RNR_RETRY", "RQ_PSN", "MAX_QP_RD_ATOMIC", "ALT_PATH",
            "MIN_RNR_TIMER", "SQ_PSN", "MAX_DEST_RD_ATOMIC", "PATH_MIG_STATE", "CAP", "DEST_QPN",
        ].enumerated().map { .init(1 << $0.offset, $0.element) })
    static let postSend = Signature("ibv_post_send", [("qp", .handle("qp")), ("wr", .hexadecimal)])
    static let postRecv = Signature("ibv_post_recv", [("qp", .handle("qp")), ("wr", .hexadecimal)])
    static let pollCQ = Signature("ibv_poll_cq", [("cq", .handle("cq")), ("num_entries", .decimal)])
    static let mkeyContext = Signature(
        "mkey_context", [("mr", .handle("mr"))], outputs: [("start_addr", .pointer)])

    static let verbs: [Signature] = [
        getDeviceList, openDevice, closeDevice, queryDevice, queryPort, allocPD, deallocPD, regMR, regDmabufMR,
        mlx5dvRegDmabufMR, deregMR, regMREx, allocDMAH, deallocDMAH, queryGIDTable, createCompChannel,
        destroyCompChannel, createCQ, reqNotifyCQ, getCQEvent, modifyCQ, destroyCQ, createQP, destroyQP, createAH,
        destroyAH, createSRQ, destroySRQ, modifySRQ, getAsyncEvent, allocDM, freeDM, memcpyToDM, memcpyFromDM, regDMMR,
        frmrPools, postSRQRecv, modifyQP, postSend, postRecv, pollCQ, mkeyContext,
    ]
}
