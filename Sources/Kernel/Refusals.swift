/// One way in which the kernel, or libibverbs, refuses a call.
public struct Refusal: Sendable {
    /// "EINVAL"
    public let name: String
    /// Why that usually happens and what to do next; nil where the errno says it all.
    public let hint: String?

    init(_ name: String, _ hint: String? = nil) {
        self.name = name
        self.hint = hint
    }

    /// All refusals of an operation as `Failure` names it, in no order; empty for one that is not known.
    public static func all(of operation: String) -> [Refusal] {
        if let known = table[operation] { return known }
        return operation.hasPrefix("VFIO_DEVICE_FEATURE ") ? feature : []
    }

    /// Every operation whose refusals are known.
    public static var operations: [String] { table.keys.sorted() }

    static func hint(for operation: String, _ errno: Errno) -> String? {
        if let known = all(of: operation).first(where: { $0.name == errno.name }) { return known.hint }
        guard operation.hasPrefix("ibv_") || operation.hasPrefix("mlx5dv_") else { return nil }
        switch errno.name {
        case "ENOSYS": return "the installed libibverbs has no \(operation); newer rdma-core has"
        case "EPROTONOSUPPORT": return "this kernel lacks the uverbs method"
        case "ENOENT" where operation.hasPrefix("ibv_de"):
            return "the kernel knows it no more: it ended it before, and could not say so"
        default: return nil
        }
    }

    private static let table: [String: [Refusal]] = {
        var table = calls
        for part in [vfio, iommufd, verbs, buffers] { table.merge(part) { one, _ in one } }
        return table
    }()

    private static let frame = [Refusal("EINVAL"), Refusal("EFAULT")]
    private static let memory = [Refusal("ENOMEM", "no memory, or over the locked memory limit (ulimit -l)")]
    private static let descriptors = [
        Refusal("EMFILE", "this process has no descriptor left (ulimit -n)"), Refusal("ENFILE"),
    ]

    // MARK: System calls

    private static let calls: [String: [Refusal]] = [
        "open": [
            Refusal("EACCES", "no permission; run as root or give yourself the device node (udev rule, chown)"),
            Refusal("EPERM", "no permission; run as root or give yourself the device node (udev rule, chown)"),
            Refusal("EBUSY", "in use: the group is open already, or one of its devices is open through its cdev"),
            Refusal("ENOENT"), Refusal("ENODEV"), Refusal("EINTR"), Refusal("ENOMEM"), Refusal("ENXIO"),
        ] + descriptors,
        "close": [Refusal("EIO"), Refusal("EINTR")],
        "read": [Refusal("EIO"), Refusal("EINTR"), Refusal("EAGAIN"), Refusal("EINVAL"), Refusal("EFAULT")],
        "write": [
            Refusal("EIO"), Refusal("EINTR"), Refusal("EAGAIN"), Refusal("EINVAL"), Refusal("EFAULT"),
            Refusal("ENOSPC"), Refusal("EBUSY"), Refusal("ENODEV"),
        ],
        "pread": access, "pwrite": access,
        "lseek": [Refusal("EINVAL"), Refusal("ESPIPE")],
        "memfd_create": descriptors + memory,
        "ftruncate": [Refusal("EPERM", "the file is sealed"), Refusal("EINVAL"), Refusal("EFBIG")],
        "fcntl": [Refusal("EINVAL"), Refusal("EPERM"), Refusal("EBUSY", "a writable mapping of it is there")]
            + descriptors,
        "poll": [Refusal("EINTR"), Refusal("ENOMEM")],
        "eventfd": descriptors + memory,
        "mmap": [
            Refusal("EINVAL"), Refusal("EACCES"), Refusal("ENODEV"), Refusal("EBUSY"),
            Refusal("ENOMEM", "no address space or memory, or too many mappings"),
        ],
        "munmap": [Refusal("EINVAL"), Refusal("ENOMEM")],
        "readlink": [Refusal("ENOENT"), Refusal("EACCES"), Refusal("EINVAL")],
        "getdents": [Refusal("ENOENT"), Refusal("EACCES"), Refusal("ENOTDIR")],
        "nanosleep": [Refusal("EINTR")],
        "fsync": [Refusal("EIO"), Refusal("ENOSPC")],
        "mkdir": [Refusal("EACCES"), Refusal("EEXIST"), Refusal("ENOENT"), Refusal("ENOSPC"), Refusal("EROFS")],
        "rename": [Refusal("EACCES"), Refusal("ENOENT"), Refusal("ENOSPC"), Refusal("EROFS")],
        "unlink": [Refusal("EACCES"), Refusal("ENOENT"), Refusal("EROFS")],
    ]

    private static let access = [
        Refusal("EIO", "the device's memory decode is off (PCI_COMMAND bit 1), or it is suspended"),
        Refusal("EFAULT", "outside the configuration space"),
        Refusal("EINVAL", "no such region, or an offset beyond its end"), Refusal("ENOMEM"), Refusal("EBUSY"),
    ]

    // MARK: VFIO

    private static let feature =
        frame + [
            Refusal("ENOTTY", "this kernel or driver has no such feature"), Refusal("EOPNOTSUPP"), Refusal("EIO"),
        ]

    private static let vfio: [String: [Refusal]] = [
        "VFIO_GET_API_VERSION": [Refusal("ENOTTY")],
        "VFIO_CHECK_EXTENSION": [Refusal("ENOTTY")],
        "VFIO_SET_IOMMU": [Refusal("EINVAL"), Refusal("ENODEV"), Refusal("EBUSY")] + memory,
        "VFIO_IOMMU_GET_INFO": frame,
        "VFIO_IOMMU_MAP_DMA": mapping + [Refusal("ENOSPC"), Refusal("EOVERFLOW")],
        "VFIO_IOMMU_UNMAP_DMA": frame + [Refusal("EOVERFLOW"), Refusal("ENOENT")],
        "VFIO_GROUP_GET_STATUS": frame + [Refusal("ENODEV")],
        // drivers/iommu/iommu.c:iommu_group_claim_dma_owner
        "VFIO_GROUP_SET_CONTAINER": frame + [
            Refusal(
                "EPERM", "another function of the IOMMU group is bound to a host driver; bind all of them to vfio-pci"),
            Refusal("EBUSY", "the group is in use by another process"), Refusal("EBADF"), Refusal("EBADFD"),
            Refusal("ENODEV"),
        ],
        "VFIO_GROUP_UNSET_CONTAINER": [Refusal("EINVAL"), Refusal("EBUSY")],
        "VFIO_GROUP_GET_DEVICE_FD": frame + [
            Refusal("ENODEV", "that device is not in the group"), Refusal("EACCES"), Refusal("EAGAIN"),
            Refusal("ENOMEM"),
        ] + descriptors,
        "VFIO_DEVICE_GET_INFO": frame,
        "VFIO_DEVICE_GET_REGION_INFO": frame,
        "VFIO_DEVICE_GET_IRQ_INFO": frame,
        // drivers/vfio/pci/vfio_pci_core.c
        "VFIO_DEVICE_RESET": [
            Refusal("EINVAL", "the device has no function reset (its info lacks RESET)"),
            Refusal("EAGAIN", "the device's lock is held; try again"), Refusal("ENOTTY"),
        ],
        // drivers/vfio/device_cdev.c, drivers/iommu/iommufd/device.c
        "VFIO_DEVICE_BIND_IOMMUFD": [
            Refusal("EBUSY", "the device's group is open through /dev/vfio/GROUP"),
            Refusal("EINVAL", "the device is open elsewhere, or its IOMMU is not cache coherent"),
            Refusal(
                "EPERM",
                "another function of its IOMMU group is in use by a host driver, or MSI is not isolated"),
            Refusal("ENODEV", "the device has no IOMMU group; is the IOMMU on (intel_iommu=on)?"), Refusal("EBADF"),
            Refusal("EBADFD"), Refusal("EACCES"), Refusal("EAGAIN"), Refusal("EFAULT"),
        ],
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT": frame + [
            Refusal("ENOENT"), Refusal("EADDRINUSE", "an attached device's reserved range is there"),
            Refusal("EBUSY"), Refusal("ENOTTY"),
        ] + memory,
        "VFIO_DEVICE_DETACH_IOMMUFD_PT": frame + [Refusal("ENOTTY")],
        // drivers/vfio/vfio_main.c:vfio_set_irqs_validate_and_prepare, drivers/vfio/pci/vfio_pci_intrs.c
        "VFIO_DEVICE_SET_IRQS": [
            Refusal(
                "EINVAL",
                "the vectors or the size of the data do not fit, another kind of interrupt is enabled, the one meant is "
                    + "not, or the device is not in D0"),
            Refusal("ENOTTY", "this kind of interrupt has no such action (only INTx can be masked)"),
            Refusal("ERANGE", "MSI or MSI-X cannot be enabled without a vector"),
            Refusal("EBADF", "an eventfd is not open"), Refusal("EBUSY", "an eventfd unmasks the INTx already"),
            Refusal("EFAULT"), Refusal("ENOMEM"),
        ],
        "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO": hotReset, "VFIO_DEVICE_PCI_HOT_RESET": hotReset,
        // drivers/vfio/pci/vfio_pci_rdwr.c:vfio_pci_ioeventfd
        "VFIO_DEVICE_IOEVENTFD": [
            Refusal("EINVAL", "1, 2, 4 or 8 bytes inside a BAR, outside the MSI-X table"),
            Refusal("EEXIST", "an eventfd does this write already"),
            Refusal("ENODEV", "no eventfd does this write"), Refusal("ENOSPC", "a device has room for 1000"),
            Refusal("EBADF"), Refusal("EFAULT"), Refusal("ENOTTY"),
        ],
        // drivers/vfio/pci/vfio_pci_dmabuf.c
        "VFIO_DEVICE_FEATURE DMA_BUF GET": [
            Refusal(
                "EINVAL",
                "every range must be non-empty, page aligned and end inside the region, which must be memory; "
                    + "open_flags are not checked"),
            Refusal("ENODEV", "the region is not a memory BAR of this device (empty, ROM, config or VGA)"),
            Refusal("EOPNOTSUPP", "the device's VFIO driver has no dma-buf export; vfio-pci has"),
            Refusal("ENOTTY", "this kernel has no dma-buf export (CONFIG_VFIO_PCI_DMABUF, 6.19 and later)"),
            Refusal("EOVERFLOW", "the range wraps around the end of the address space"), Refusal("EFAULT"),
            Refusal("ENOMEM"), Refusal("EIO"),
        ] + descriptors,
        // "vfio/dma-buf: add TPH support", v2 to v11
        "VFIO_DEVICE_FEATURE DMA_BUF_TPH SET": [
            Refusal("ENOTTY", "this kernel has no feature of that number; see --tph-abi"),
            Refusal(
                "EOPNOTSUPP",
                "the exporting device is no TPH completer (DevCap2 bits 13:12), or no extended one for a 16-bit tag"),
            Refusal(
                "EINVAL",
                "a value or the structure's size is not this kernel's, or the dma-buf is another device's; see --tph-abi"
            ),
            Refusal("EBADF", "the dma-buf descriptor is not open"),
            Refusal("EBUSY", "this revision (v4) takes one tag per dma-buf; export again to change it"),
            Refusal("EFAULT"), Refusal("EIO"), Refusal("EINTR", "a signal came; set it again"),
        ],
        "DMA_BUF_IOCTL_SYNC": frame + [Refusal("EINTR")],
        "DMA_BUF_SET_NAME": frame + [Refusal("ENOMEM")],
    ]

    // drivers/vfio/pci/vfio_pci_core.c
    private static let hotReset =
        frame + [
            Refusal("EPERM"), Refusal("EBADF"), Refusal("EBUSY"),
            Refusal("ENODEV", "the bus cannot be reset: no port is above it"),
            Refusal("ENOSPC", "the buffer is too small for the devices of the bus; their count was written"),
            Refusal("ENOTTY", "the link to the device did not come back"),
        ]

    private static let mapping = [
        Refusal("EFAULT", "the memory cannot be pinned; a BAR goes through a dma-buf (map_file), not its address"),
        Refusal("EEXIST", "that IOVA range is already mapped"),
        Refusal("EINVAL", "size 0, not page aligned, or a reserved IOVA range"),
        Refusal("ENOMEM", "over the locked memory limit (ulimit -l)"),
        Refusal("EADDRINUSE", "an attached device's reserved range is there"),
    ]

    // MARK: iommufd

    private static let unknown = [
        Refusal("EOPNOTSUPP", "this IOMMU or kernel does not know a flag, option or type"),
        Refusal("ENOENT", "no such object"),
    ]

    private static let iommufd: [String: [Refusal]] = [
        "IOMMU_DESTROY": frame + [Refusal("EBUSY", "a device is attached to it"), Refusal("ENOENT")],
        "IOMMU_IOAS_ALLOC": frame + [Refusal("EOPNOTSUPP"), Refusal("ENOMEM")],
        // drivers/iommu/iommufd/{ioas,hw_pagetable,device}.c
        "IOMMU_IOAS_ALLOW_IOVAS": unknown + [
            Refusal("EADDRINUSE", "an attached device or page table reserves part of a range"),
            Refusal("EINVAL", "ranges must not overlap, and have more than one byte"), Refusal("EFAULT"),
        ],
        "IOMMU_OPTION": unknown + [
            Refusal("EBUSY", "accounting is chosen before the context has any object"),
            Refusal("EINVAL", "the value is 0 or 1; with a page table, only while nothing is mapped"),
            Refusal("EPERM"), Refusal("EFAULT"),
        ],
        "IOMMU_HWPT_ALLOC": unknown + frame + [
            Refusal("EADDRINUSE", "something is mapped, or allowed, where the IOMMU has no addresses"),
            Refusal("ENOMEM"),
        ],
        "IOMMU_GET_HW_INFO": unknown + frame,
        "IOMMU_IOAS_NOIOMMU_GET_PA": unknown + frame + [Refusal("EPERM", "root's to ask (CAP_SYS_RAWIO)")],
        "IOMMU_IOAS_CHANGE_PROCESS": unknown + frame + [Refusal("ENOMEM")],
        "IOMMU_HWPT_SET_DIRTY_TRACKING": unknown + frame, "IOMMU_HWPT_GET_DIRTY_BITMAP": unknown + frame,
        "IOMMU_HWPT_INVALIDATE": unknown + frame, "IOMMU_FAULT_QUEUE_ALLOC": unknown + frame + [Refusal("ENOMEM")],
        "IOMMU_VIOMMU_ALLOC": unknown + frame + [Refusal("ENOMEM")],
        "IOMMU_VDEVICE_ALLOC": unknown + frame + [Refusal("ENOMEM")],
        "IOMMU_VEVENTQ_ALLOC": unknown + frame + [Refusal("ENOMEM")],
        "IOMMU_HW_QUEUE_ALLOC": unknown + frame + [Refusal("ENOMEM")],
        "IOMMU_VFIO_IOAS": [Refusal("ENODEV"), Refusal("EINVAL"), Refusal("EOPNOTSUPP"), Refusal("EFAULT")],
        "IOMMU_IOAS_COPY": mapping + [
            Refusal("ENOENT"), Refusal("EPERM"), Refusal("ENOSPC"), Refusal("EOVERFLOW"), Refusal("EOPNOTSUPP"),
        ],
        "IOMMU_IOAS_IOVA_RANGES": frame + [Refusal("ENOENT"), Refusal("EMSGSIZE")],
        "IOMMU_IOAS_MAP": mapping + [
            Refusal("ENOENT"), Refusal("ENOSPC"), Refusal("EOVERFLOW"), Refusal("EOPNOTSUPP"),
        ],
        // drivers/iommu/iommufd/{io_pagetable,pages}.c
        "IOMMU_IOAS_MAP_FILE": [
            Refusal("ENODEV", "the dma-buf is revoked: memory decode is off, or its device was reset or closed"),
            Refusal("EOPNOTSUPP", "iommufd imports only VFIO PCI dma-bufs of exactly one range"),
            Refusal(
                "EINVAL", "start and length must lie inside the dma-buf; iova and length must be page aligned"),
            Refusal("ENOTTY", "this kernel has no IOMMU_IOAS_MAP_FILE (6.13 and later)"), Refusal("EBADF"),
            Refusal("ENOENT"), Refusal("ENOSPC"), Refusal("EOVERFLOW"),
        ] + mapping.filter { $0.name != "EINVAL" },
        "IOMMU_IOAS_UNMAP": frame + [
            Refusal("ENOENT", "nothing is mapped there, or a mapping reaches outside the range"), Refusal("EBUSY"),
            Refusal("EOVERFLOW"),
        ],
    ]
}
