/// Refusals of libibverbs' functions: its manual pages, drivers/infiniband/core, and the mlx5 provider.
extension Refusal {
    private static let gone = Refusal("EIO", "the device was removed, or has failed")
    private static let memory = [Refusal("ENOMEM", "no memory, or over the locked memory limit (ulimit -l)"), gone]

    private static let invalid = Refusal(
        "EINVAL", "the kernel knows the object no more: the device was removed, or reset")
    private static let copied = Refusal(
        "EINVAL", "offset or length is no multiple of what the NIC copies at once (4 bytes)")
    private static let pieces = Refusal("EINVAL", "more pieces than the queue takes, or the queue pair is reset")

    static let verbs: [String: [Refusal]] = [
        "ibv_get_device_list": [
            Refusal("ENOSYS", "this machine has no RDMA: no device, or the kernel module ib_uverbs is not loaded"),
            Refusal("EPERM", "no permission to look at /sys/class/infiniband_verbs"), Refusal("ENOMEM"),
        ],
        "ibv_open_device": [
            Refusal("ENODEV", "the device went away, or its node /dev/infiniband/uverbsN is missing"),
            Refusal("EACCES", "no permission; run as root or give yourself /dev/infiniband/uverbsN"), Refusal("EMFILE"),
            Refusal("EINVAL", "the installed libibverbs has no provider that knows the driver's interface"),
        ] + memory,
        "ibv_close_device": [gone],
        "ibv_query_device": [gone, invalid],
        "ibv_query_port": [gone, Refusal("EINVAL", "the device has no port of that number; they count from 1")],
        "ibv_query_gid_table": [
            gone, invalid, Refusal("EOPNOTSUPP", "this kernel lists no GIDs so (5.11 and later do)"),
        ],
        "ibv_alloc_pd": memory,
        "ibv_dealloc_pd": [
            gone, Refusal("EBUSY", "a memory region or queue pair still uses it; close that first"),
        ],
        "ibv_reg_mr": memory + [
            Refusal("EINVAL", "length 0, or remote_write or remote_atomic without local_write"),
            Refusal(
                "EFAULT",
                "the memory is not mapped, not writable, or a device's: of a BAR a dma-buf is registered "
                    + "(dev:export_dmabuf, pd:reg_dmabuf_mr)"),
            Refusal("EOPNOTSUPP", "the NIC's driver does not know an access flag (on_demand takes ODP)"),
        ],
        "ibv_reg_dmabuf_mr": buffer,
        "ibv_reg_mr_ex": buffer + [Refusal("ENOENT", "the DMA handle is not of this context, or gone")],
        "mlx5dv_reg_dmabuf_mr": buffer,
        "ibv_dereg_mr": [gone, Refusal("EBUSY", "a memory window is still bound to it; unbind that first"), invalid],
        "ibv_alloc_dmah": memory + [
            Refusal(
                "EINVAL",
                "it needs a processing hint, CPU and memory type together or not at all, a CPU that is there, and for it "
                    + "firmware that tells steering tags (_DSM)"),
            Refusal("EPERM", "this program may not run on that CPU"),
            Refusal("EBUSY", "the NIC's table of steering tags is full"),
            Refusal("ENODEV", "the NIC's root port completes no hints, so no tag of a CPU helps"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no DMA handles; mlx5 has"),
            Refusal("EPROTONOSUPPORT", "the NIC sends no hints, or this kernel lacks DMA handles"),
        ],
        "ibv_dealloc_dmah": [gone, Refusal("EBUSY", "a memory region still uses it; close that first")],
        "ibv_create_cq": memory + [Refusal("EINVAL", "more entries than the device has")],
        "ibv_create_comp_channel": memory + [Refusal("EMFILE", "too many open descriptors (ulimit -n)")],
        "ibv_destroy_comp_channel": [gone, Refusal("EBUSY", "a completion queue still uses it; close that first")],
        "ibv_req_notify_cq": [gone, Refusal("EINVAL", "the completion queue has no events")],
        "ibv_get_cq_event": [gone, Refusal("EINVAL", "the channel is closed, or of another kind")],
        "ibv_modify_cq": [
            gone, Refusal("EINVAL", "more than the device can wait for"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no moderation"),
        ],
        "ibv_destroy_cq": [gone, Refusal("EBUSY", "a queue pair still uses it; close that first")],
        "ibv_create_qp": memory + [
            Refusal("EINVAL", "more work requests, pieces or inline data than the device has"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no queue pairs of this type"),
            Refusal("EPERM", "this type of queue pair is root's to create (CAP_NET_RAW)"),
        ],
        "ibv_create_ah": memory + [
            Refusal("EINVAL", "the port or the GID index is none of the device's"),
            Refusal("ETIMEDOUT", "the peer's address could not be resolved"),
            Refusal("EOPNOTSUPP", "the NIC's driver makes no address handles for programs"),
        ],
        "ibv_destroy_ah": [gone, invalid],
        "ibv_create_srq": memory + [
            Refusal("EINVAL", "more work requests or pieces than the device has"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no shared receive queues"),
        ],
        "ibv_destroy_srq": [gone, Refusal("EBUSY", "a queue pair still uses it; close that first")],
        "ibv_modify_srq": [
            gone, Refusal("EINVAL", "more than the shared receive queue holds"),
            Refusal("EOPNOTSUPP", "the NIC's driver cannot change it"),
        ],
        "ibv_get_async_event": [gone, Refusal("EINVAL", "the context is closed")],
        "ibv_alloc_dm": memory + [
            Refusal("EOPNOTSUPP", "the NIC's driver has no device memory; mlx5 has"),
            Refusal("EINVAL", "no bytes, or more than the device has"),
            Refusal("ENOSPC", "the NIC's own memory is given out: free some, or ask for less"),
        ],
        "ibv_free_dm": [gone, Refusal("EBUSY", "a memory region still uses it; close that first")],
        "ibv_memcpy_to_dm": [Refusal("EFAULT", "it reaches outside the device memory"), copied],
        "ibv_memcpy_from_dm": [Refusal("EFAULT", "it reaches outside the device memory"), copied],
        "ibv_reg_dm_mr": memory + [
            Refusal(
                "EINVAL",
                "the range lies outside the device memory, or access lacks zero_based, or has what the NIC does not allow"
            ), Refusal("EOPNOTSUPP", "the NIC's driver has no device memory; mlx5 has"),
        ],
        "ibv_post_srq_recv": [
            Refusal("ENOMEM", "the shared receive queue is full: poll its completions"), pieces,
        ],
        "ibv_destroy_qp": [gone, Refusal("EBUSY", "a multicast group or a flow still uses it"), invalid],
        "ibv_modify_qp": [
            gone, Refusal("EINVAL", "not from this state, or a value of the peer's or the port's is none"),
            Refusal("ENOMEM"), Refusal("ETIMEDOUT", "the peer's address could not be resolved"), Refusal("EFAULT"),
            Refusal("EOPNOTSUPP", "the device does not do what the peer may ask for, such as atomics"),
        ],
        "ibv_post_send": [
            Refusal("ENOMEM", "the send queue is full: poll the completions of signalled requests"),
            Refusal("EINVAL", "the queue pair is not connected, or the request is none"), Refusal("EFAULT"),
        ],
        "ibv_post_recv": [
            Refusal("ENOMEM", "the receive queue is full: poll its completions"), pieces,
            Refusal("EFAULT"),
        ],
        "ibv_poll_cq": [gone, Refusal("EINVAL", "the completion queue is destroyed")],
    ]

    private static let buffer =
        memory + [
            Refusal(
                "EOPNOTSUPP",
                "the NIC's driver registers no dma-bufs, or not this exporter's; mlx5 (with ODP) and irdma take VFIO's"
            ),
            Refusal("ENODEV", "the dma-buf is revoked: memory decode is off, or its device was closed"),
            Refusal(
                "EINVAL",
                "offset and iova must agree within the page, the range lie inside the dma-buf, remote_write and "
                    + "remote_atomic need local_write; or there is no peer-to-peer route to the exporter"),
            Refusal("EADDRINUSE", "7.3 maps no dma-buf of several ranges through an IOMMU: export one range"),
            Refusal("EBADF"), Refusal("ETIMEDOUT"),
        ]
}
