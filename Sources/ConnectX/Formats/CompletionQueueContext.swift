/// A completion queue's context: mlx5_ifc_cqc_bits.
enum CompletionQueueContext {
    /// Bytes of it.
    static let size = 64
    static let status = Field("cqc.status", bit: 0x0, width: 4)
    static let cqeSz = Field("cqc.cqe_sz", bit: 0x8, width: 3)
    static let oi = Field("cqc.oi", bit: 0xe, width: 1)
    static let st = Field("cqc.st", bit: 0x14, width: 4)
    static let pageOffset = Field("cqc.page_offset", bit: 0x54, width: 6)
    static let logCqSize = Field("cqc.log_cq_size", bit: 0x63, width: 5)
    static let uarPage = Field("cqc.uar_page", bit: 0x68, width: 24)
    static let cqPeriod = Field("cqc.cq_period", bit: 0x84, width: 12)
    static let cqMaxCount = Field("cqc.cq_max_count", bit: 0x90, width: 16)
    static let eqn = Field("cqc.c_eqn_or_apu_element", bit: 0xa0, width: 32)
    static let logPageSize = Field("cqc.log_page_size", bit: 0xc3, width: 5)
    static let lastNotifiedIndex = Field("cqc.last_notified_index", bit: 0x108, width: 24)
    static let lastSolicitIndex = Field("cqc.last_solicit_index", bit: 0x128, width: 24)
    static let consumerCounter = Field("cqc.consumer_counter", bit: 0x148, width: 24)
    static let producerCounter = Field("cqc.producer_counter", bit: 0x168, width: 24)
    static let dbrAddr = Field("cqc.dbr_addr", bit: 0x1c0, width: 64)
}
