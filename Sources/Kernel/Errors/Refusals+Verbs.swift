/// Errors that several verbs share. Sources: manual pages of libibverbs, drivers/infiniband/core, the mlx5 provider.
extension Refusal {
    static let deviceGone = Refusal("EIO", "the device was removed, or has failed")
    /// Errors of verbs that create an object.
    static let ofMemory = [Refusal("ENOMEM", "no memory, or over the locked memory limit (ulimit -l)"), deviceGone]
    static let unknownObject = Refusal(
        "EINVAL", "the kernel knows the object no more: the device was removed, or reset")

    /// Of what RDMA netlink is asked. drivers/infiniband/core/netlink.c:rdma_nl_rcv_msg, nldev.c; socket(2)
    static let ofNetlink = [
        Refusal("EPROTONOSUPPORT", "the kernel has no RDMA netlink: ib_core is not loaded"),
        Refusal("ENODEV", "RDMA netlink shows no such device: it was removed, or is another network namespace's"),
        Refusal("EPERM", "RDMA netlink gives that to root alone (CAP_NET_ADMIN)"),
        Refusal("EINVAL", "the context is closed"), Refusal("EMFILE"), Refusal("ENFILE"), Refusal("ENOMEM"),
        Refusal("ENOBUFS", "the answers came faster than they were read; ask again"),
    ]

    static let verbs: [String: [Refusal]] = Dictionary(
        uniqueKeysWithValues: Verbs.all.filter { !$0.refusals.isEmpty }.map { ($0.signature.name, $0.refusals) })
}
