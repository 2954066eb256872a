/// A shared receive queue's context: mlx5_ifc_srqc_bits.
enum SharedReceiveQueueContext {
    /// Bytes of it.
    static let size = 64
    static let state = Field("srqc.state", bit: 0x0, width: 4)
    static let logSrqSize = Field("srqc.log_srq_size", bit: 0x4, width: 4)
    static let wqSignature = Field("srqc.wq_signature", bit: 0x20, width: 1)
    static let logRqStride = Field("srqc.log_rq_stride", bit: 0x25, width: 3)
    static let xrcd = Field("srqc.xrcd", bit: 0x28, width: 24)
    static let pageOffset = Field("srqc.page_offset", bit: 0x40, width: 6)
    static let cqn = Field("srqc.cqn", bit: 0x48, width: 24)
    static let logPageSize = Field("srqc.log_page_size", bit: 0x82, width: 6)
    static let pd = Field("srqc.pd", bit: 0xc8, width: 24)
    static let lwm = Field("srqc.lwm", bit: 0xe0, width: 16)
    static let wqeCnt = Field("srqc.wqe_cnt", bit: 0xf0, width: 16)
    static let dbrAddr = Field("srqc.dbr_addr", bit: 0x140, width: 64)
}

/// One of an XRC domain: mlx5_ifc_xrc_srqc_bits.
enum XRCSharedReceiveQueueContext {
    /// Bytes of it.
    static let size = 64
    static let state = Field("xrc_srqc.state", bit: 0x0, width: 4)
    static let logXrcSrqSize = Field("xrc_srqc.log_xrc_srq_size", bit: 0x4, width: 4)
    static let wqSignature = Field("xrc_srqc.wq_signature", bit: 0x20, width: 1)
    static let logRqStride = Field("xrc_srqc.log_rq_stride", bit: 0x25, width: 3)
    static let xrcd = Field("xrc_srqc.xrcd", bit: 0x28, width: 24)
    static let pageOffset = Field("xrc_srqc.page_offset", bit: 0x40, width: 6)
    static let cqn = Field("xrc_srqc.cqn", bit: 0x48, width: 24)
    static let userIndexEqualXrcSrqn = Field("xrc_srqc.user_index_equal_xrc_srqn", bit: 0x80, width: 1)
    static let logPageSize = Field("xrc_srqc.log_page_size", bit: 0x82, width: 6)
    static let userIndex = Field("xrc_srqc.user_index", bit: 0x88, width: 24)
    static let pd = Field("xrc_srqc.pd", bit: 0xc8, width: 24)
    static let lwm = Field("xrc_srqc.lwm", bit: 0xe0, width: 16)
    static let wqeCnt = Field("xrc_srqc.wqe_cnt", bit: 0xf0, width: 16)
    static let dbRecordAddrH = Field("xrc_srqc.db_record_addr_h", bit: 0x140, width: 32)
    static let dbRecordAddrL = Field("xrc_srqc.db_record_addr_l", bit: 0x160, width: 30)
}

/// A receive memory pool: mlx5_ifc_rmpc_bits.
enum ReceiveMemoryPoolContext {
    /// Bytes of it.
    static let size = 240
    static let state = Field("rmpc.state", bit: 0x8, width: 4)
    static let basicCyclicRcvWqe = Field("rmpc.basic_cyclic_rcv_wqe", bit: 0x20, width: 1)
    static let wqType = Field("rmpc.wq.wq_type", bit: 0x180, width: 4)
    static let wqSignature = Field("rmpc.wq.wq_signature", bit: 0x184, width: 1)
    static let pageOffset = Field("rmpc.wq.page_offset", bit: 0x1ab, width: 5)
    static let lwm = Field("rmpc.wq.lwm", bit: 0x1b0, width: 16)
    static let pd = Field("rmpc.wq.pd", bit: 0x1c8, width: 24)
    static let dbrAddr = Field("rmpc.wq.dbr_addr", bit: 0x200, width: 64)
    static let hwCounter = Field("rmpc.wq.hw_counter", bit: 0x240, width: 32)
    static let swCounter = Field("rmpc.wq.sw_counter", bit: 0x260, width: 32)
    static let logWqStride = Field("rmpc.wq.log_wq_stride", bit: 0x28c, width: 4)
    static let logWqPgSz = Field("rmpc.wq.log_wq_pg_sz", bit: 0x293, width: 5)
    static let logWqSz = Field("rmpc.wq.log_wq_sz", bit: 0x29b, width: 5)
}
