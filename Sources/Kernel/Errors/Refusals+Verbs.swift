/// Refusals that verbs have in common. Sources: manual pages of libibverbs, drivers/infiniband/core, the mlx5 provider.
extension Refusal {
    static let deviceGone = Refusal("EIO", "the device was removed, or has failed")
    /// Of what makes an object.
    static let ofMemory = [Refusal("ENOMEM", "no memory, or over the locked memory limit (ulimit -l)"), deviceGone]
    static let unknownObject = Refusal(
        "EINVAL", "the kernel knows the object no more: the device was removed, or reset")

    static let verbs: [String: [Refusal]] = Dictionary(
        uniqueKeysWithValues: Verbs.all.filter { !$0.refusals.isEmpty }.map { ($0.signature.name, $0.refusals) })
}
