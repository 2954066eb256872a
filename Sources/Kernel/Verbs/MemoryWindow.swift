public import CKernel

extension ObjectKind {
    static let mw = ObjectKind("mw", "memory window", "struct ibv_mw *")
}

/// Memory windows. One of type 2 is bound by a work request (IBV_WR_BIND_MW).
extension Verbs {
    /// ibv_alloc_mw(3).
    public static let ibv_alloc_mw = Verb(
        "ibv_alloc_mw", .pd, .number("type", .names([.init(1, "TYPE_1"), .init(2, "TYPE_2")])), makes: .mw,
        outputs: [VerbMember("rkey", \ibv_mw.rkey, .key)], inC: .call("ibv_alloc_mw($0, (enum ibv_mw_type)($1))"),
        refusals: Refusal.ofMemory + [
            Refusal("EOPNOTSUPP", "the NIC's driver has no memory windows, or not of this type"),
            Refusal("EINVAL", "the type is 1 or 2"),
        ], live: shim_ibv_alloc_mw)

    /// ibv_dealloc_mw(3), bound or not.
    public static let ibv_dealloc_mw = Verb(
        "ibv_dealloc_mw", .object(.mw), ends: true, refusals: [.deviceGone, .unknownObject],
        live: shim_ibv_dealloc_mw)

    static let memoryWindows: [any AnyVerb] = [ibv_alloc_mw, ibv_dealloc_mw]
}
