public import CKernel

extension ObjectKind {
    static let pd = ObjectKind("pd", "protection domain", "struct ibv_pd *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_pd> {
    static var pd: Self { .object(.pd) }
}

/// Protection domains.
extension Verbs {
    /// ibv_alloc_pd(3).
    public static let ibv_alloc_pd = Verb(
        "ibv_alloc_pd", .context, makes: .pd, refusals: Refusal.ofMemory, live: shim_ibv_alloc_pd)

    /// ibv_dealloc_pd(3). EBUSY while a memory region uses it.
    public static let ibv_dealloc_pd = Verb(
        "ibv_dealloc_pd", .pd, ends: true,
        refusals: [.deviceGone, Refusal("EBUSY", "a memory region or queue pair still uses it; close that first")],
        live: shim_ibv_dealloc_pd)

    static let protectionDomains: [any AnyVerb] = [ibv_alloc_pd, ibv_dealloc_pd]
}
