extension Refusal {
    /// drivers/dma-buf/udmabuf.c, dma-heap.c, and scripts/lab/edu-importer/edu_importer.h
    static let buffers: [String: [Refusal]] = [
        "UDMABUF_CREATE": udmabuf, "UDMABUF_CREATE_LIST": udmabuf,
        "DMA_HEAP_IOCTL_ALLOC": [
            Refusal("EINVAL", "a descriptor, or a flag that no heap knows, was passed"), Refusal("ENOMEM"),
            Refusal("EFAULT"),
        ],
        "EDU_ATTACH": [
            Refusal("EBADF"), Refusal("EINVAL", "it is no dma-buf, or a flag is not known"),
            Refusal("EBADFD", "something is attached already"),
            Refusal("EOPNOTSUPP", "a VFIO dma-buf wants an importer with peer2peer and invalidate"), gone,
            Refusal("EFAULT"),
        ],
        "EDU_MAP": [
            nothing, Refusal("EBUSY", "it is mapped already"),
            Refusal(
                "EADDRINUSE",
                "7.3 maps no dma-buf of several ranges through an IOMMU: export one range, or put both devices below one "
                    + "switch (--bench sim:lab-importer-below-switch)"),
            Refusal("EINVAL", "no peer-to-peer route between the two devices; the kernel log says why"), gone,
            Refusal("EFAULT"),
        ],
        "EDU_COPY": [
            nothing, Refusal("ENXIO", "it is not mapped, or the exporter has taken the mapping"),
            Refusal("ERANGE", "beyond the dma-buf"), Refusal("ETIMEDOUT", "the device does not finish"),
            unplugged, Refusal("EFAULT"),
        ],
        "EDU_UNMAP": [nothing, unplugged], "EDU_DETACH": [nothing, unplugged],
        "EDU_STATE": [nothing, unplugged, Refusal("EFAULT")],
        "EDU_HINT": [
            nothing, Refusal("ENOENT", "vfio_tph is not loaded"),
            Refusal("EOPNOTSUPP", "no hint was set, or none for this namespace"),
            Refusal("EINVAL", "the tag has more bits than were asked for"), unplugged, Refusal("EFAULT"),
        ],
    ]

    private static let unplugged = Refusal("ENODEV", "the importing device is gone")
    private static let gone = Refusal(
        "ENODEV", "the dma-buf is revoked: the exporter's memory is off, or the exporter is closed")
    private static let nothing = Refusal("EBADFD", "nothing is attached")

    private static let udmabuf = [
        Refusal("EINVAL", "offset and size are whole pages inside a memfd that is sealed against shrinking alone"),
        Refusal("EBADFD", "it is no memfd"), Refusal("EBADF"), Refusal("ENOMEM"), Refusal("EFAULT"),
    ]
}
