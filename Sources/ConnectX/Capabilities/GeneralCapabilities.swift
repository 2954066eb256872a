extension Capabilities {
    // Those that are the device's own limits.
    static let logMaxQueuePair = Field("cmd_hca_cap.log_max_qp", bit: 0x9b, width: 5)
    static let logMaxCompletionQueue = Field("cmd_hca_cap.log_max_cq", bit: 0xdb, width: 5)
    static let logMaxReceiveQueue = Field("cmd_hca_cap.log_max_srq", bit: 0xab, width: 5)
    static let logMaxMemoryKey = Field("cmd_hca_cap.log_max_mkey", bit: 0xea, width: 6)
    static let logMaxEventQueueSize = Field("cmd_hca_cap.log_max_eq_sz", bit: 0xe0, width: 8)
    static let eventQueueCount = Field("cmd_hca_cap.max_num_eqs", bit: 0x470, width: 16)
    static let logMaxProtectionDomain = Field("cmd_hca_cap.log_max_pd", bit: 0x32b, width: 5)
    static let logMaxXRCDomain = Field("cmd_hca_cap.log_max_xrcd", bit: 0x33b, width: 5)
    static let logMaxTransportDomain = Field("cmd_hca_cap.log_max_transport_domain", bit: 0x323, width: 5)

    /// The general capabilities that are not 0, or that someone may want to change; struct mlx5_ifc_cmd_hca_cap_bits.
    static let general: [(Field, UInt64)] = [
        // Sizes of tables and queues.
        (logMaxQueuePair, 18),
        (Field("cmd_hca_cap.log_max_qp_sz", bit: 0x88, width: 8), 15),
        (logMaxReceiveQueue, 16),
        (Field("cmd_hca_cap.log_max_srq_sz", bit: 0x80, width: 8), 15),
        (logMaxCompletionQueue, 18),
        (Field("cmd_hca_cap.log_max_cq_sz", bit: 0xc8, width: 8), 22),
        (Field("cmd_hca_cap.log_max_eq", bit: 0xfc, width: 4), 8),
        (logMaxEventQueueSize, 16),
        (eventQueueCount, 64),
        (logMaxMemoryKey, 20),
        (Field("cmd_hca_cap.log_max_mrw_sz", bit: 0x109, width: 7), 40),
        (logMaxProtectionDomain, 16),
        (logMaxXRCDomain, 12),
        (logMaxTransportDomain, 12),
        (Field("cmd_hca_cap.log_max_rmp", bit: 0x383, width: 5), 16),
        (Field("cmd_hca_cap.log_max_mcg", bit: 0x318, width: 8), 8),
        (Field("cmd_hca_cap.max_qp_mcg", bit: 0x2e7, width: 25), 16),
        (Field("cmd_hca_cap.log_max_klm_list_size", bit: 0x11a, width: 6), 16),
        (Field("cmd_hca_cap.max_indirection", bit: 0x100, width: 8), 4),
        (Field("cmd_hca_cap.log_pg_sz", bit: 0x258, width: 8), 12),
        (Field("cmd_hca_cap.log_max_msg", bit: 0x1c3, width: 5), 30),
        (Field("cmd_hca_cap.log_max_ra_req_qp", bit: 0x14a, width: 6), 4),
        (Field("cmd_hca_cap.log_max_ra_res_qp", bit: 0x15a, width: 6), 4),
        (Field("cmd_hca_cap.log_max_ra_req_dc", bit: 0x12a, width: 6), 4),
        (Field("cmd_hca_cap.log_max_ra_res_dc", bit: 0x13a, width: 6), 4),
        (Field("cmd_hca_cap.max_wqe_sz_sq", bit: 0x290, width: 16), 1024),
        (Field("cmd_hca_cap.max_wqe_sz_rq", bit: 0x2b0, width: 16), 512),
        // Doorbell pages. Without bf no driver tries whether writes are combined; the register's size lays them out all the same.
        (Field("cmd_hca_cap.uar_sz", bit: 0x24a, width: 6), 3),
        (Field("cmd_hca_cap.log_uar_page_sz", bit: 0x490, width: 16), 0),
        (Field("cmd_hca_cap.log_bf_reg_size", bit: 0x26b, width: 5), 9),
        (Field("cmd_hca_cap.bf", bit: 0x260, width: 1), 0),
        // One InfiniBand port, whose state the driver asks for by vport commands (ib_virt). 0 of GIDs is 8, of P_Keys 128.
        (Field("cmd_hca_cap.port_type", bit: 0x1b6, width: 2), 0),
        (Field("cmd_hca_cap.num_ports", bit: 0x1b8, width: 8), 1),
        (Field("cmd_hca_cap.ib_virt", bit: 0x1a2, width: 1), 1),
        (Field("cmd_hca_cap.gid_table_size", bit: 0x170, width: 16), 0),
        (Field("cmd_hca_cap.pkey_table_size", bit: 0x190, width: 16), 0),
        (Field("cmd_hca_cap.local_ca_ack_delay", bit: 0x1ab, width: 5), 15),
        (Field("cmd_hca_cap.cqe_version", bit: 0x1fc, width: 4), 1),
        (Field("cmd_hca_cap.vhca_id", bit: 0x30, width: 16), 1),
        // Transports. mlx5_ib does not load without xrc.
        (Field("cmd_hca_cap.rc", bit: 0x23f, width: 1), 1),
        (Field("cmd_hca_cap.uc", bit: 0x23e, width: 1), 1),
        (Field("cmd_hca_cap.ud", bit: 0x23d, width: 1), 1),
        (Field("cmd_hca_cap.xrc", bit: 0x23c, width: 1), 1),
        (Field("cmd_hca_cap.set_deth_sqpn", bit: 0x238, width: 1), 1),
        (Field("cmd_hca_cap.atomic", bit: 0x21e, width: 1), 1),
        (Field("cmd_hca_cap.pkv", bit: 0x237, width: 1), 1),
        (Field("cmd_hca_cap.qkv", bit: 0x236, width: 1), 1),
        (Field("cmd_hca_cap.block_lb_mc", bit: 0x228, width: 1), 1),
        (Field("cmd_hca_cap.compact_address_vector", bit: 0x200, width: 1), 1),
        // Completion queues and work requests.
        (Field("cmd_hca_cap.cq_oi", bit: 0x220, width: 1), 1),
        (Field("cmd_hca_cap.cq_resize", bit: 0x221, width: 1), 1),
        (Field("cmd_hca_cap.cq_moderation", bit: 0x222, width: 1), 1),
        (Field("cmd_hca_cap.imaicl", bit: 0x231, width: 1), 1),
        (Field("cmd_hca_cap.sctr_data_cqe", bit: 0x215, width: 1), 0),
        (Field("cmd_hca_cap.terminate_scatter_list_mkey", bit: 0xf6, width: 1), 1),
        // Memory keys. A driver that may change a key's page size registers by work requests, and dma-bufs by nothing else.
        (Field("cmd_hca_cap.umr_modify_entity_size_disabled", bit: 0x207, width: 1), 0),
        (Field("cmd_hca_cap.umr_extended_translation_offset", bit: 0x118, width: 1), 1),
        (Field("cmd_hca_cap.umr_ptr_rlky", bit: 0x230, width: 1), 1),
        (Field("cmd_hca_cap.fixed_buffer_size", bit: 0x108, width: 1), 1),
        (Field("cmd_hca_cap.null_mkey", bit: 0x119, width: 1), 1),
        (Field("cmd_hca_cap.relaxed_ordering_write", bit: 0xe8, width: 1), 1),
        (Field("cmd_hca_cap.relaxed_ordering_read", bit: 0x32a, width: 1), 1),
        (Field("cmd_hca_cap.relaxed_ordering_write_umr", bit: 0xd0, width: 1), 1),
        (Field("cmd_hca_cap.relaxed_ordering_read_umr", bit: 0xd1, width: 1), 1),
        (Field("cmd_hca_cap.mkey_pcie_tph", bit: 0x2a7, width: 1), 1),
        (Field("cmd_hca_cap.pg", bit: 0x227, width: 1), 1),
        (Field("cmd_hca_cap.device_memory", bit: 0x1a8, width: 1), 1),
        // The clock that stands in registers and completion entries counts nanoseconds.
        (Field("cmd_hca_cap.device_frequency_mhz", bit: 0x4c0, width: 32), 1000),
        (Field("cmd_hca_cap.device_frequency_khz", bit: 0x4e0, width: 32), 1_000_000),
        // The driver's own.
        (Field("cmd_hca_cap.driver_version", bit: 0x261, width: 1), 1),
        (Field("cmd_hca_cap.release_all_pages", bit: 0x145, width: 1), 1),
        (Field("cmd_hca_cap.page_request_disable", bit: 0x6, width: 1), 0),
        (Field("cmd_hca_cap.debug", bit: 0x183, width: 1), 1),
    ]
}
