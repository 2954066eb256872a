public import CKernel
import Glibc

extension ObjectKind {
    static let mr = ObjectKind("mr", "memory region", "struct ibv_mr *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_mr> {
    static var mr: Self { .object(.mr) }
}

extension VerbParameter where Value == Int32 {
    /// IBV_ACCESS_*
    static var access: Self { .number("access", Access.format) }
    static var fd: Self { .number("fd", .descriptor) }
}

extension VerbParameter where Value == UInt64 {
    static var length: Self { .number("length", .hexadecimal) }
    static var iova: Self { .number("iova", .pointer) }
}

/// Attributes of ibv_reg_mr_ex. Our own structure, as the libibverbs headers we build with do not have it yet.
public typealias MRInitAttributes = shim_mr_init_attr

extension VerbParameter where Value == MRInitAttributes {
    fileprivate static var attributes: Self {
        .structure(
            { MRInitAttributes() },
            [
                VerbMember("length", \.length, .hexadecimal), VerbMember("access", \.access, Access.format),
                VerbMember("comp_mask", \.comp_mask, MRInitMask.format),
                VerbMember("iova", \.iova, .pointer), VerbMember("addr", \.addr, .pointer),
                VerbMember("fd", \.fd, .descriptor), VerbMember("fd_offset", \.fd_offset, .hexadecimal),
                VerbMember("dmah", \.dmah, .handle(ObjectKind.dmah.name)),
            ])
    }
}

/// Which members of ``MRInitAttributes`` are valid: its comp_mask (man ibv_reg_mr_ex).
public struct MRInitMask: NamedBits {
    /// The value of comp_mask.
    public let rawValue: UInt64
    /// See `OptionSet`.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The address that work requests use.
    public static let iova = MRInitMask(rawValue: 1)
    /// Memory of this process.
    public static let addr = MRInitMask(rawValue: 2)
    /// A dma-buf.
    public static let fd = MRInitMask(rawValue: 4)
    /// The offset in the dma-buf.
    public static let fdOffset = MRInitMask(rawValue: 8)
    /// A DMA handle.
    public static let dmah = MRInitMask(rawValue: 16)
    /// See ``NamedBits``.
    public static let names: [(name: String, bit: MRInitMask)] = [
        ("IOVA", .iova), ("ADDR", .addr), ("FD", .fd), ("FD_OFFSET", .fdOffset), ("DMAH", .dmah),
    ]
}

/// Memory regions.
extension Verbs {
    /// A region's keys.
    static let keys = [VerbMember("lkey", \ibv_mr.lkey, .key), VerbMember("rkey", \ibv_mr.rkey, .key)]

    /// ibv_reg_mr(3) of host memory of this process.
    public static let ibv_reg_mr = Verb(
        "ibv_reg_mr", .pd, .number("addr", .pointer), .length, .access, makes: .mr, outputs: keys,
        inC: .call("ibv_reg_mr($0, (void *)($1), $2, $3)"),
        refusals: Refusal.ofMemory + [
            Refusal("EINVAL", "length 0, or remote_write or remote_atomic without local_write"),
            Refusal(
                "EFAULT",
                "the memory is not mapped, not writable, or a device's: of a BAR a dma-buf is registered "
                    + "(dev:export_dmabuf, pd:reg_dmabuf_mr)"),
            Refusal("EOPNOTSUPP", "the NIC's driver does not know an access flag (on_demand takes ODP)"),
        ], live: shim_ibv_reg_mr)

    /// ibv_reg_dmabuf_mr(3).
    public static let ibv_reg_dmabuf_mr = Verb(
        "ibv_reg_dmabuf_mr", .pd, .number("offset", .hexadecimal), .length, .iova, .fd, .access, makes: .mr,
        outputs: keys, refusals: Refusal.ofBuffer, live: shim_ibv_reg_dmabuf_mr)

    /// mlx5dv_reg_dmabuf_mr(3), rdma-core 54 and later; ENOSYS where the library lacks it. Bit 0 of `mlx5_access`
    /// requests data direct.
    public static let mlx5dv_reg_dmabuf_mr = Verb(
        "mlx5dv_reg_dmabuf_mr", .pd, .number("offset", .hexadecimal), .length, .iova, .fd, .access,
        .number("mlx5_access", .flags([.init(1, "DATA_DIRECT")])), makes: .mr, outputs: keys, inC: .none,
        refusals: Refusal.ofBuffer.filter { $0.name != "EOPNOTSUPP" } + [
            // providers/mlx5/verbs.c; drivers/infiniband/hw/mlx5/mr.c:reg_user_mr_dmabuf_by_data_direct
            Refusal(
                "EOPNOTSUPP",
                "the device is not mlx5's, or has no ODP; through data direct, iova is not page aligned, the exporter does "
                    + "not pin (VFIO does not), or the NIC has no keys of another function's (crossing_vhca_mkey)"),
            Refusal(
                "ENOSYS",
                "the installed libmlx5 is older than rdma-core 54, which has it, and libibverbs loads it for mlx5's devices "
                    + "alone"
            ),
        ], live: shim_mlx5dv_reg_dmabuf_mr)

    /// ibv_reg_mr_ex(3), rdma-core 59 and later; the live kernel is asked without the library where that is older.
    public static let ibv_reg_mr_ex = Verb(
        "ibv_reg_mr_ex", .pd, .attributes, makes: .mr, outputs: keys, inC: .none,
        refusals: Refusal.ofBuffer.filter { $0.name != "EOPNOTSUPP" } + [
            Refusal("ENOENT", "the DMA handle is not of this context, or gone"),
            // libibverbs/dummy_ops.c:reg_mr_ex
            Refusal(
                "EOPNOTSUPP",
                "the NIC's driver takes no DMA handle, registers no dma-bufs, or not this exporter's; mlx5 (with ODP) does"
            ),
            Refusal(
                "EFAULT", "the memory is not mapped, not writable, or a device's, of which a dma-buf is registered"),
            Refusal("EPROTONOSUPPORT", "this kernel registers no memory so (it lacks UVERBS_METHOD_REG_MR)"),
        ], live: shim_ibv_reg_mr_ex)

    /// ibv_dereg_mr(3).
    public static let ibv_dereg_mr = Verb(
        "ibv_dereg_mr", .mr, ends: true,
        refusals: [
            .deviceGone, Refusal("EBUSY", "a memory window is still bound to it; unbind that first"), .unknownObject,
        ], live: shim_ibv_dereg_mr)

    /// The mlx5 memory key context of a region (mlx5_ifc.h, struct mlx5_ifc_mkc_bits, 64 bytes), from the driver's raw
    /// resource dump by RDMA netlink. ENOENT where netlink shows no such region (it needs CAP_NET_ADMIN), EOPNOTSUPP
    /// where the driver has no dump, EPROTO where the dump does not have mlx5's layout.
    public static let mkeyContext = Verb(
        "mkey_context", .mr,
        answer: .noted(outputs: [.init("start_addr", .pointer)]) { (context: [UInt8], operation) in
            // 64 bits from bit 0x80 on: an address of this process's own.
            var (rest, start) = (context, UInt64(0))
            for index in rest.indices where (16..<24).contains(index) {
                start = start << 8 | UInt64(rest[index])
                rest[index] = 0
            }
            operation.outputs = [.init("start_addr", .number(start, .pointer)), .init("mkc", .bytes(rest))]
        }, inC: .none,
        refusals: Refusal.ofNetlink + [
            Refusal("ENOENT", "RDMA netlink does not show the region's key, which takes CAP_NET_ADMIN"),
            Refusal("EOPNOTSUPP", "the NIC's driver gives no dump of memory keys"),
            Refusal("ENODATA", "the driver's dump is empty"),
            Refusal("EPROTO", "the driver's dump is not of the layout known"),
        ]
    ) { (mr) throws(Errno) in
        guard let device = mr.pointee.context?.pointee.device else { throw Errno(EINVAL) }
        let key = mr.pointee.lkey
        let dump = try netlink(device) { rdma_raw_mr($0, key, $1, $2) }
        guard let context = MkeyDump.context(in: dump, key: key, length: UInt64(mr.pointee.length)) else {
            throw Errno(EPROTO)
        }
        return context
    }

    static let memoryRegions: [any AnyVerb] = [
        ibv_reg_mr, ibv_reg_dmabuf_mr, mlx5dv_reg_dmabuf_mr, ibv_reg_mr_ex, ibv_dereg_mr, mkeyContext,
    ]
}

extension Refusal {
    /// Errors of registering a dma-buf.
    fileprivate static let ofBuffer =
        ofMemory + [
            Refusal(
                "EOPNOTSUPP",
                "the NIC's driver registers no dma-bufs, or not this exporter's; mlx5 (with ODP) and irdma take VFIO's"
            ),
            Refusal("ENODEV", "the dma-buf is revoked: memory decode is off, or its device was closed"),
            Refusal(
                "EINVAL",
                "offset and iova must agree within the page, the range lie inside the dma-buf, remote_write and "
                    + "remote_atomic need local_write; or there is no peer-to-peer route to the exporter"),
            Refusal(
                "EADDRINUSE",
                "7.3 maps no dma-buf of several ranges through an IOMMU: export one range, or put both devices below one "
                    + "switch (--bench sim:below-switch)"),
            Refusal("EBADF"), Refusal("ETIMEDOUT"),
        ]
}
