/// A memory key's context: mlx5_ifc_mkc_bits.
enum MemoryKeyContext {
    /// Bytes of it.
    static let size = 64
    static let free = Field("mkc.free", bit: 0x1, width: 1)
    static let accessMode42 = Field("mkc.access_mode_4_2", bit: 0x3, width: 3)
    static let relaxedOrderingWrite = Field("mkc.relaxed_ordering_write", bit: 0xd, width: 1)
    static let smallFenceOnRdmaReadResponse = Field("mkc.small_fence_on_rdma_read_response", bit: 0xf, width: 1)
    static let umrEn = Field("mkc.umr_en", bit: 0x10, width: 1)
    static let a = Field("mkc.a", bit: 0x11, width: 1)
    static let rw = Field("mkc.rw", bit: 0x12, width: 1)
    static let rr = Field("mkc.rr", bit: 0x13, width: 1)
    static let lw = Field("mkc.lw", bit: 0x14, width: 1)
    static let lr = Field("mkc.lr", bit: 0x15, width: 1)
    static let accessMode10 = Field("mkc.access_mode_1_0", bit: 0x16, width: 2)
    static let qpn = Field("mkc.qpn", bit: 0x20, width: 24)
    static let variant = Field("mkc.mkey_7_0", bit: 0x38, width: 8)
    static let length64 = Field("mkc.length64", bit: 0x60, width: 1)
    static let enRinval = Field("mkc.en_rinval", bit: 0x67, width: 1)
    static let pd = Field("mkc.pd", bit: 0x68, width: 24)
    static let startAddr = Field("mkc.start_addr", bit: 0x80, width: 64)
    static let length = Field("mkc.len", bit: 0xc0, width: 64)
    static let translationsOctwordSize = Field("mkc.translations_octword_size", bit: 0x1a0, width: 32)
    static let relaxedOrderingRead = Field("mkc.relaxed_ordering_read", bit: 0x1d9, width: 1)
    static let logPageSize = Field("mkc.log_page_size", bit: 0x1da, width: 6)
    static let tphEnabled = Field("mkc.pcie_tph_en", bit: 0x1e5, width: 1)
    static let processingHint = Field("mkc.pcie_tph_ph", bit: 0x1e6, width: 2)
    static let steeringTagIndex = Field("mkc.pcie_tph_steering_tag_index", bit: 0x1e8, width: 8)
}
