public import CKernel

extension ObjectKind {
    static let dmah = ObjectKind("dmah", "dma handle", "struct ibv_dmah *")
}

/// Attributes of ibv_alloc_dmah; see ``MRInitAttributes``.
public typealias DMAHInitAttributes = shim_dmah_init_attr

extension VerbParameter where Value == DMAHInitAttributes {
    fileprivate static var attributes: Self {
        .structure(
            { DMAHInitAttributes() },
            [
                VerbMember("comp_mask", \.comp_mask, DMAHInitMask.format),
                VerbMember("cpu_id", \.cpu_id), VerbMember("ph", \.ph),
                VerbMember("tph_mem_type", \.tph_mem_type, .names([.init(0, "VM"), .init(1, "PM")])),
            ])
    }
}

/// Which members of ``DMAHInitAttributes`` are valid: its comp_mask (man ibv_alloc_dmah).
public struct DMAHInitMask: NamedBits {
    /// The value of comp_mask.
    public let rawValue: UInt32
    /// See `OptionSet`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The CPU for which the platform gives the steering tag.
    public static let cpuID = DMAHInitMask(rawValue: 1)
    /// The processing hint.
    public static let ph = DMAHInitMask(rawValue: 2)
    /// The kind of memory that the tag is for.
    public static let memoryType = DMAHInitMask(rawValue: 4)
    /// See ``NamedBits``.
    public static let names: [(name: String, bit: DMAHInitMask)] = [
        ("CPU_ID", .cpuID), ("PH", .ph), ("TPH_MEM_TYPE", .memoryType),
    ]
}

/// DMA handles.
extension Verbs {
    /// ibv_alloc_dmah(3), rdma-core 59 and later; the live kernel is asked without the library where that is older.
    public static let ibv_alloc_dmah = Verb(
        "ibv_alloc_dmah", .context, .attributes, makes: .dmah, inC: .none,
        refusals: Refusal.ofMemory + [
            Refusal(
                "EINVAL",
                "it needs a processing hint, CPU and memory type together or not at all, a CPU that is there, and for it "
                    + "firmware that tells steering tags (_DSM)"),
            Refusal("EPERM", "this program may not run on that CPU (taskset, cpuset of the container)"),
            Refusal("EBUSY", "the NIC's table of steering tags is full"),
            Refusal(
                "ENODEV",
                "the NIC's root port completes no hints, so no tag of a CPU helps; a handle of ph alone needs none"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no DMA handles; mlx5 has"),
            Refusal("EPROTONOSUPPORT", "the NIC sends no hints, or this kernel lacks DMA handles"),
        ], live: shim_ibv_alloc_dmah)

    /// ibv_dealloc_dmah(3). EBUSY while a memory region uses it.
    public static let ibv_dealloc_dmah = Verb(
        "ibv_dealloc_dmah", .object(.dmah), ends: true, inC: .none,
        refusals: [.deviceGone, Refusal("EBUSY", "a memory region still uses it; close that first")],
        live: shim_ibv_dealloc_dmah)

    static let dmaHandles: [any AnyVerb] = [ibv_alloc_dmah, ibv_dealloc_dmah]
}
