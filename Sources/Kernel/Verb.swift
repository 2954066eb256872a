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
    static let mkeyContext = Verb(name: "mkey_context", parameters: [("mr", .pointer)])
}
