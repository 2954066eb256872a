public import CKernel

extension ObjectKind {
    static let ah = ObjectKind("ah", "address handle", "struct ibv_ah *")
}

extension VerbParameter where Value == ibv_ah_attr {
    fileprivate static var path: Self {
        .value(
            "attr", members: Layout.path.fields.map(Signature.Member.init), encode: { .path($0) },
            decode: { value, _ in ibv_ah_attr(recorded: value) })
    }
}

/// Address handles: destinations of datagrams.
extension Verbs {
    /// ibv_create_ah(3).
    public static let ibv_create_ah = Verb(
        "ibv_create_ah", .pd, .path, makes: .ah,
        inC: .call("ibv_create_ah($0, &attr)", [.structure("struct ibv_ah_attr attr", argument: 1)]),
        refusals: Refusal.ofMemory + [
            Refusal("EINVAL", "the port or the GID index is none of the device's"),
            Refusal("ETIMEDOUT", "the peer's address could not be resolved"),
            Refusal("EOPNOTSUPP", "the NIC's driver makes no address handles for programs"),
        ], live: shim_ibv_create_ah)

    /// ibv_destroy_ah(3).
    public static let ibv_destroy_ah = Verb(
        "ibv_destroy_ah", .object(.ah), ends: true, refusals: [.deviceGone, .unknownObject], live: shim_ibv_destroy_ah)

    static let addressHandles: [any AnyVerb] = [ibv_create_ah, ibv_destroy_ah]
}
