/// Refusals of libibverbs' functions: its manual pages, drivers/infiniband/core, and the mlx5 provider.
extension Refusal {
    private static let gone = Refusal("EIO", "the device was removed, or has failed")
    private static let memory = [Refusal("ENOMEM", "no memory, or over the locked memory limit (ulimit -l)"), gone]

    static let verbs: [String: [Refusal]] = [
        "ibv_get_device_list": [
            Refusal("ENOSYS", "this machine has no RDMA: no device, or the kernel module ib_uverbs is not loaded"),
            Refusal("EPERM"), Refusal("ENOMEM"),
        ],
        "ibv_open_device": [Refusal("ENODEV"), Refusal("EACCES"), Refusal("EMFILE"), Refusal("EINVAL")] + memory,
        "ibv_close_device": [gone],
        "ibv_query_device": [gone, Refusal("EINVAL")],
        "ibv_query_port": [gone, Refusal("EINVAL")],
        "ibv_query_gid_table": [gone, Refusal("EINVAL"), Refusal("EOPNOTSUPP")],
        "ibv_alloc_pd": memory,
        "ibv_dealloc_pd": [
            gone, Refusal("EBUSY", "a memory region or queue pair still uses it; close that first"),
        ],
        "ibv_reg_mr": memory + [Refusal("EINVAL"), Refusal("EFAULT"), Refusal("EOPNOTSUPP")],
        "ibv_reg_dmabuf_mr": buffer, "ibv_reg_mr_ex": buffer + [Refusal("ENOENT")],
        "mlx5dv_reg_dmabuf_mr": buffer,
        "ibv_dereg_mr": [gone, Refusal("EBUSY"), Refusal("EINVAL")],
        "ibv_alloc_dmah": memory + [
            Refusal("EINVAL", "it needs a processing hint, and CPU and memory type together or not at all"),
            Refusal("EPERM", "this program may not run on that CPU"),
            Refusal("EBUSY", "the NIC's table of steering tags is full"), Refusal("EOPNOTSUPP"),
            Refusal("EPROTONOSUPPORT", "the NIC sends no hints, or this kernel lacks DMA handles"),
        ],
        "ibv_dealloc_dmah": [gone, Refusal("EBUSY", "a memory region still uses it; close that first")],
        "ibv_create_cq": memory + [Refusal("EINVAL", "more entries than the device has")],
        "ibv_create_comp_channel": memory + [Refusal("EMFILE", "too many open descriptors (ulimit -n)")],
        "ibv_destroy_comp_channel": [gone, Refusal("EBUSY", "a completion queue still uses it; close that first")],
        "ibv_req_notify_cq": [gone, Refusal("EINVAL")],
        "ibv_get_cq_event": [gone, Refusal("EINVAL")],
        "ibv_modify_cq": [
            gone, Refusal("EINVAL", "more than the device can wait for"),
            Refusal("EOPNOTSUPP", "the NIC's driver has no moderation"),
        ],
        "ibv_destroy_cq": [gone, Refusal("EBUSY", "a queue pair still uses it; close that first")],
        "ibv_create_qp": memory + [
            Refusal("EINVAL", "more work requests, pieces or inline data than the device has"),
            Refusal("EOPNOTSUPP"), Refusal("EPERM"),
        ],
        "ibv_create_ah": memory + [
            Refusal("EINVAL", "the port or the GID index is none of the device's"),
            Refusal("ETIMEDOUT", "the peer's address could not be resolved"), Refusal("EOPNOTSUPP"),
        ],
        "ibv_destroy_ah": [gone, Refusal("EINVAL")],
        "ibv_create_srq": memory + [
            Refusal("EINVAL", "more work requests or pieces than the device has"), Refusal("EOPNOTSUPP"),
        ],
        "ibv_destroy_srq": [gone, Refusal("EBUSY", "a queue pair still uses it; close that first")],
        "ibv_modify_srq": [
            gone, Refusal("EINVAL", "more than the shared receive queue holds"), Refusal("EOPNOTSUPP"),
        ],
        "ibv_get_async_event": [gone, Refusal("EINVAL")],
        "ibv_alloc_dm": memory + [
            Refusal("EOPNOTSUPP", "the NIC's driver has no device memory; mlx5 has"),
            Refusal("EINVAL", "no bytes, or more than the device has"), Refusal("ENOSPC"),
        ],
        "ibv_free_dm": [gone, Refusal("EBUSY", "a memory region still uses it; close that first")],
        "ibv_memcpy_to_dm": [Refusal("EFAULT", "it reaches outside the device memory"), Refusal("EINVAL")],
        "ibv_memcpy_from_dm": [Refusal("EFAULT", "it reaches outside the device memory"), Refusal("EINVAL")],
        "ibv_reg_dm_mr": memory + [
            Refusal(
                "EINVAL",
                "the range lies outside the device memory, or access lacks zero_based, or has what the NIC does not allow"
            ), Refusal("EOPNOTSUPP", "the NIC's driver has no device memory; mlx5 has"),
        ],
        "ibv_post_srq_recv": [
            Refusal("ENOMEM", "the shared receive queue is full: poll its completions"), Refusal("EINVAL"),
        ],
        "ibv_destroy_qp": [gone, Refusal("EBUSY"), Refusal("EINVAL")],
        "ibv_modify_qp": [
            gone, Refusal("EINVAL", "not from this state, or a value of the peer's or the port's is none"),
            Refusal("ENOMEM"), Refusal("ETIMEDOUT", "the peer's address could not be resolved"), Refusal("EFAULT"),
        ],
        "ibv_post_send": [
            Refusal("ENOMEM", "the send queue is full: poll the completions of signalled requests"),
            Refusal("EINVAL", "the queue pair is not connected, or the request is none"), Refusal("EFAULT"),
        ],
        "ibv_post_recv": [
            Refusal("ENOMEM", "the receive queue is full: poll its completions"), Refusal("EINVAL"),
            Refusal("EFAULT"),
        ],
        "ibv_poll_cq": [gone, Refusal("EINVAL")],
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
