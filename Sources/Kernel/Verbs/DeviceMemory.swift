public import CKernel

extension ObjectKind {
    static let dm = ObjectKind("dm", "device memory", "struct ibv_dm *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_dm> {
    static var dm: Self { .object(.dm) }
}

extension VerbParameter where Value == UInt64 {
    fileprivate static var dmOffset: Self { .number("dm_offset", .hexadecimal) }
}

/// The NIC's own memory.
extension Verbs {
    /// ibv_alloc_dm(3). EOPNOTSUPP where the NIC has none.
    public static let ibv_alloc_dm = Verb(
        "ibv_alloc_dm", .context, .length, makes: .dm, inC: .none,
        refusals: Refusal.ofMemory + [
            Refusal("EOPNOTSUPP", "the NIC's driver has no device memory; mlx5 has"),
            Refusal("EINVAL", "no bytes, or more than the device has"),
            Refusal("ENOSPC", "the NIC's own memory is given out: free some, or ask for less"),
        ], live: shim_ibv_alloc_dm)

    /// ibv_free_dm(3). EBUSY while a memory region uses it.
    public static let ibv_free_dm = Verb(
        "ibv_free_dm", .dm, ends: true, inC: .none,
        refusals: [.deviceGone, Refusal("EBUSY", "a memory region still uses it; close that first")],
        live: shim_ibv_free_dm)

    /// ibv_memcpy_to_dm(3).
    public static let ibv_memcpy_to_dm = Verb(
        "ibv_memcpy_to_dm", .dm, .dmOffset, .bytes(), inC: .none, refusals: Refusal.ofCopies
    ) { shim_ibv_memcpy_to_dm($0, $1, $2.baseAddress, $2.count) }

    /// ibv_memcpy_from_dm(3). In C the buffer is the first argument.
    public static let ibv_memcpy_from_dm = Verb(
        "ibv_memcpy_from_dm", .dm, .dmOffset, .room(), inC: .none, refusals: Refusal.ofCopies
    ) { shim_ibv_memcpy_from_dm($2.baseAddress, $0, $1, $2.count) }

    /// ibv_reg_dm_mr(3). The access needs IBV_ACCESS_ZERO_BASED: work requests count from the region's start.
    public static let ibv_reg_dm_mr = Verb(
        "ibv_reg_dm_mr", .pd, .dm, .dmOffset, .length, .access, makes: .mr, outputs: keys, inC: .none,
        refusals: Refusal.ofMemory + [
            Refusal(
                "EINVAL",
                "the range lies outside the device memory, or access lacks zero_based, or has what the NIC does not allow"
            ), Refusal("EOPNOTSUPP", "the NIC's driver has no device memory; mlx5 has"),
        ], live: shim_ibv_reg_dm_mr)

    static let deviceMemory: [any AnyVerb] = [
        ibv_alloc_dm, ibv_free_dm, ibv_memcpy_to_dm, ibv_memcpy_from_dm, ibv_reg_dm_mr,
    ]
}

extension Refusal {
    fileprivate static let ofCopies = [
        Refusal("EFAULT", "it reaches outside the device memory"),
        Refusal("EINVAL", "offset or length is no multiple of what the NIC copies at once (4 bytes)"),
    ]
}
