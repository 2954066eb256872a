/// An errno with which the kernel, or libibverbs, refuses a call, and its usual reason.
public struct Refusal: Sendable {
    /// "EINVAL"
    public let name: String
    /// The usual reason and what to do next. Where the arguments tell more, the caller gives a better one: ``Causes``.
    public let hint: String

    init(_ name: String, _ hint: String) {
        self.name = name
        self.hint = hint
    }

    /// An errno with the same meaning for every operation.
    init(_ name: String) { self.init(name, Refusal.common[name] ?? "") }

    /// All errors of an operation, by its name in `Failure`, unsorted; empty for an unknown one.
    public static func all(of operation: String) -> [Refusal] {
        if let known = table[operation] { return known }
        return operation.hasPrefix("VFIO_DEVICE_FEATURE ") ? feature : []
    }

    /// All operations whose errors are known.
    public static var operations: [String] { table.keys.sorted() }

    /// The usual reason for an errno of an operation; nil where unknown. ENOENT for a user's file needs no explanation.
    static func hint(for operation: String, _ errno: Errno, on object: String) -> String? {
        let isOfKernel = ["/dev/", "/sys/", "/proc/"].contains { object.hasPrefix($0) }
        if errno == .noEntry, files.contains(operation), !isOfKernel { return nil }
        if let known = all(of: operation).first(where: { $0.name == errno.name }) { return known.hint }
        guard operation.hasPrefix("ibv_") || operation.hasPrefix("mlx5dv_") else { return common[errno.name] }
        switch errno.name {
        case "EPROTONOSUPPORT": return "this kernel lacks the uverbs method"
        case "ENOENT" where operation.hasPrefix("ibv_de"):
            return "the kernel knows it no more: it ended it before, and could not say so"
        default: return common[errno.name]
        }
    }

    private static let files: Set = ["open", "readlink", "getdents", "mkdir", "rename", "unlink"]

    private static let table: [String: [Refusal]] = {
        var table = calls
        for part in [vfio, iommufd, verbs, buffers] { table.merge(part) { one, _ in one } }
        return table
    }()

    private static let frame = [
        Refusal("EINVAL", "the structure's size is too small, or a flag or a field is set that must be 0"),
        Refusal("EFAULT"),
    ]
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
            Refusal("ENOENT", "no such file: is the driver or module loaded, and the device bound to it?"),
            Refusal("ENODEV", "the file is there, and no device behind it: its driver has gone"), Refusal("EINTR"),
            Refusal("ENOMEM"), Refusal("ENXIO", "no device is behind the file"),
        ] + descriptors,
        "close": [Refusal("EIO"), Refusal("EINTR")],
        "read": [
            Refusal("EIO"), Refusal("EINTR"), Refusal("EAGAIN"),
            Refusal("EINVAL", "this kind of file is not read so, or not with this length"), Refusal("EFAULT"),
        ],
        "write": [
            Refusal("EIO"), Refusal("EINTR"), Refusal("EAGAIN"),
            Refusal("EINVAL", "the file does not take this text or length"), Refusal("EFAULT"),
            Refusal("ENOSPC", "no room is left in the file system, or in what the file stands for"),
            Refusal("EBUSY", "what the file stands for is in use: another driver has it, or a program"),
            Refusal("ENODEV", "no such device, or the driver does not take it"),
        ],
        "pread": access, "pwrite": access,
        "lseek": [
            Refusal("EINVAL", "the place is none: of a dma-buf only its start and end can be sought"),
            Refusal("ESPIPE", "this kind of file has no position"),
        ],
        "memfd_create": descriptors + memory,
        "ftruncate": [
            Refusal("EPERM", "the file is sealed"), Refusal("EINVAL", "the length is below 0, or the file has none"),
            Refusal("EFBIG", "longer than files may be here (ulimit -f)"),
        ],
        "fcntl": [
            Refusal("EINVAL", "the file has no such command, or the argument is none of it"),
            Refusal("EPERM", "the file is sealed against that"), Refusal("EBUSY", "a writable mapping of it is there"),
        ] + descriptors,
        "poll": [Refusal("EINTR"), Refusal("ENOMEM")],
        "eventfd": descriptors + memory,
        "mmap": [
            Refusal("EINVAL", "the range is not inside what can be mapped, not page aligned, or not MAP_SHARED"),
            Refusal("EACCES", "the file is not open for that: mapping it writable takes O_RDWR"),
            Refusal("ENODEV", "this kind of file cannot be mapped"),
            Refusal("EBUSY", "the region is in use otherwise, or the page the device's alone"),
            Refusal("ENOMEM", "no address space or memory, or too many mappings"),
        ],
        "munmap": [
            Refusal("EINVAL", "the address is not page aligned, or the length 0"),
            Refusal("ENOMEM", "it would leave more mappings than a process may have (vm.max_map_count)"),
        ],
        "readlink": [
            Refusal("ENOENT", "no such link"), Refusal("EACCES", noPermission), Refusal("EINVAL", "it is no link"),
        ],
        "getdents": [
            Refusal("ENOENT", "no such folder"), Refusal("EACCES", noPermission), Refusal("ENOTDIR", "it is no folder"),
        ],
        "nanosleep": [Refusal("EINTR")],
        "fsync": [Refusal("EIO"), Refusal("ENOSPC", "the file system is full")],
        "mkdir": [
            Refusal("EACCES", noPermission), Refusal("EEXIST", "something of that name is there"),
            Refusal("ENOENT", "the folder above it is missing"), Refusal("ENOSPC", "the file system is full"),
            Refusal("EROFS"),
        ],
        "rename": [
            Refusal("EACCES", noPermission), Refusal("ENOENT", "one of the two folders, or the file, is missing"),
            Refusal("ENOSPC", "the file system is full"), Refusal("EROFS"),
        ],
        "unlink": [Refusal("EACCES", noPermission), Refusal("ENOENT", "it is gone already"), Refusal("EROFS")],
    ]

    private static let access = [
        Refusal("EIO", "the device's memory decode is off (PCI_COMMAND bit 1), or it is suspended"),
        Refusal("EFAULT", "outside the configuration space"),
        Refusal("EINVAL", "no such region, or an offset beyond its end"), Refusal("ENOMEM"),
        Refusal("EBUSY", "the host's driver uses these ports, or the device resets"),
    ]

    private static let noPermission = "no permission; run as root or as the file's owner"

    // MARK: VFIO

    private static let groupIsGone = "the group's last device is gone"

    private static let feature =
        frame + [
            Refusal("ENOTTY", "this kernel or driver has no such feature"),
            Refusal("EOPNOTSUPP", "the device, or its driver, does not support the feature"), Refusal("EIO"),
        ]

    private static let vfio: [String: [Refusal]] = [
        "VFIO_GET_API_VERSION": [Refusal("ENOTTY")],
        "VFIO_CHECK_EXTENSION": [Refusal("ENOTTY")],
        "VFIO_SET_IOMMU": [
            Refusal("EINVAL", "no group has joined the container, or it has an IOMMU already"),
            Refusal("ENODEV", "no such kind of IOMMU here: is vfio_iommu_type1 loaded?"),
            Refusal("EBUSY", "a device of the group has another owner of its DMA"),
        ] + memory,
        "VFIO_IOMMU_GET_INFO": frame,
        "VFIO_IOMMU_MAP_DMA": mapping + [
            Refusal(
                "ENOSPC",
                "the container has as many mappings as it may (65535; dma_entry_limit of vfio_iommu_type1): map larger "
                    + "pieces, or unmap some"), Refusal("EOVERFLOW"),
        ],
        "VFIO_IOMMU_UNMAP_DMA": [
            Refusal(
                "EINVAL",
                "size 0, not page aligned, or the range begins or ends inside a mapping: one is taken back whole, as it was "
                    + "made; or no device has joined"), Refusal("EFAULT"), Refusal("EOVERFLOW"),
            Refusal("ENOENT", "nothing is mapped there"),
        ],
        // drivers/vfio/vfio_iommu_type1.c:vfio_iommu_type1_dirty_pages
        "VFIO_IOMMU_DIRTY_PAGES": [
            Refusal(
                "EINVAL",
                "tracking was not started, the range or its start is not whole pages, it begins or ends inside a mapping, or "
                    + "the bitmap does not fit it; or no device has joined"),
            Refusal("EACCES", "a container of type 1 has none: type 1v2 does"), Refusal("EFAULT"),
            Refusal("EOVERFLOW"),
            Refusal("ENOTTY", "an iommufd that stands for a container has none"),
        ] + memory,
        "VFIO_GROUP_GET_STATUS": frame + [Refusal("ENODEV", groupIsGone)],
        // drivers/iommu/iommu.c:iommu_group_claim_dma_owner
        "VFIO_GROUP_SET_CONTAINER": frame + [
            Refusal(
                "EPERM", "another function of the IOMMU group is bound to a host driver; bind all of them to vfio-pci"),
            Refusal("EBUSY", "the group is in use by another process"), Refusal("EBADF"),
            Refusal("EBADFD", "the descriptor is no VFIO container's or iommufd's"), Refusal("ENODEV", groupIsGone),
        ],
        "VFIO_GROUP_UNSET_CONTAINER": [
            Refusal("EINVAL", "the group has joined no container"),
            Refusal("EBUSY", "a device of the group is still open: close it first"),
        ],
        "VFIO_GROUP_GET_DEVICE_FD": frame + [
            Refusal("ENODEV", "that device is not in the group"),
            Refusal("EACCES", "the virtual function wants the token of its physical one (vfio_token in its name)"),
            Refusal("EAGAIN", "the group has no IOMMU yet: VFIO_SET_IOMMU comes first"), Refusal("ENOMEM"),
        ] + descriptors,
        "VFIO_DEVICE_GET_INFO": frame,
        "VFIO_DEVICE_GET_REGION_INFO": [
            Refusal("EINVAL", "the device has no region of that index (0 to 8; info tells how many)"),
            Refusal("EFAULT"),
        ],
        "VFIO_DEVICE_GET_IRQ_INFO": [
            Refusal("EINVAL", "the device has no interrupt of that index (0 to 4)"), Refusal("EFAULT"),
        ],
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
            Refusal("EBADFD", "the descriptor is no iommufd's"),
            Refusal("EACCES", "the virtual function wants the token of its physical one"), Refusal("EAGAIN"),
            Refusal("EFAULT"),
        ],
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT": [
            Refusal(
                "EINVAL",
                "the device was opened through its group; or the id is none of an address space or page table in the context "
                    + "that the device is bound to (vfio.open(address, { iommufd = context })); or another function of its "
                    + "IOMMU group is attached elsewhere"),
            Refusal("EFAULT"),
            Refusal("ENOENT", "the context that the device is bound to has no address space or page table of that id"),
            Refusal(
                "EADDRINUSE",
                "something is mapped where the device reserves addresses (MSI), or where its IOMMU has none: see "
                    + "ioas:iova_ranges() of one that it is attached to"),
            Refusal("EBUSY", "the device is attached to another page table: detach it first"), Refusal("ENOTTY"),
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
            Refusal("EPERM", "the reset takes along a device that is not the program's: open all of the bus first"),
            Refusal("EBADF"), Refusal("EBUSY", "a device of the bus is in use"),
            Refusal("ENODEV", "the bus cannot be reset: no port is above it"),
            Refusal("ENOSPC", "the buffer is too small for the devices of the bus; their count was written"),
            Refusal("ENOTTY", "the link to the device did not come back"),
        ]

    private static let mapping = [
        Refusal("EFAULT", "the memory cannot be pinned; a BAR goes through a dma-buf (map_file), not its address"),
        Refusal("EEXIST", "that IOVA range is already mapped"),
        Refusal(
            "EINVAL", "size 0, not page aligned, neither read nor write, or an IOVA that is reserved or not translated"),
        Refusal("ENOMEM", "over the locked memory limit (ulimit -l)"),
        Refusal("EADDRINUSE", "an attached device's reserved range is there"),
    ]

    // MARK: iommufd

    private static let noObject = Refusal("ENOENT", "the context has no object of that id, or it is of another kind")
    private static let unknown = [
        Refusal("EOPNOTSUPP", "this IOMMU or kernel does not know a flag, option or type"), noObject,
    ]
    private static let noRoom = Refusal(
        "ENOSPC",
        "no free range of that length among the usable addresses (ioas:iova_ranges()): unmap something, or map less")

    private static let iommufd: [String: [Refusal]] = [
        "IOMMU_DESTROY": frame + [
            Refusal("EBUSY", "a device is attached to it, or a page table made of it: detach, or destroy that, first"),
            noObject,
        ],
        "IOMMU_IOAS_ALLOC": frame + [Refusal("EOPNOTSUPP", "the kernel knows no flag here"), Refusal("ENOMEM")],
        // drivers/iommu/iommufd/{ioas,hw_pagetable,device}.c
        "IOMMU_IOAS_ALLOW_IOVAS": unknown + [
            Refusal("EADDRINUSE", "an attached device or page table reserves part of a range"),
            Refusal("EINVAL", "ranges must not overlap, and have more than one byte"), Refusal("EFAULT"),
        ],
        "IOMMU_OPTION": unknown + [
            Refusal("EBUSY", "accounting is chosen before the context has any object"),
            Refusal("EINVAL", "the value is 0 or 1; with a page table, only while nothing is mapped"),
            Refusal("EPERM", "without accounting of memory is root's to choose (CAP_SYS_RESOURCE)"), Refusal("EFAULT"),
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
        "IOMMU_VFIO_IOAS": [
            Refusal("ENODEV", "the context has no address space that VFIO's old interface stands for"),
            Refusal("EINVAL", "the operation is get, set or clear, and reserved fields are 0"),
            Refusal("EOPNOTSUPP", "this kernel was built without it (CONFIG_IOMMUFD_VFIO_CONTAINER)"),
            Refusal("EFAULT"),
        ],
        "IOMMU_IOAS_COPY": mapping + [
            Refusal("ENOENT", "the source does not map all of that range, or is no address space of this context"),
            Refusal("EPERM", "the source may not be written by devices, and the copy shall be"), noRoom,
            Refusal("EOVERFLOW"), Refusal("EOPNOTSUPP", "a flag that this kernel does not know"),
        ],
        "IOMMU_IOAS_IOVA_RANGES": frame + [
            noObject, Refusal("EMSGSIZE", "there are more ranges than the array has room for; num_iovas says how many"),
        ],
        "IOMMU_IOAS_MAP": mapping + [
            noObject, noRoom, Refusal("EOVERFLOW"), Refusal("EOPNOTSUPP", "a flag that this kernel does not know"),
        ],
        // drivers/iommu/iommufd/{io_pagetable,pages}.c
        "IOMMU_IOAS_MAP_FILE": [
            Refusal("ENODEV", "the dma-buf is revoked: memory decode is off, or its device was reset or closed"),
            Refusal("EOPNOTSUPP", "iommufd imports only VFIO PCI dma-bufs of exactly one range"),
            Refusal(
                "EINVAL", "start and length must lie inside the dma-buf; iova and length must be page aligned"),
            Refusal("ENOTTY", "this kernel has no IOMMU_IOAS_MAP_FILE (6.13 and later)"), Refusal("EBADF"),
            noObject, noRoom, Refusal("EOVERFLOW"),
        ] + mapping.filter { $0.name != "EINVAL" },
        "IOMMU_IOAS_UNMAP": frame + [
            Refusal("ENOENT", "nothing is mapped there, or a mapping reaches outside the range"),
            Refusal("EBUSY", "a driver of the kernel's uses the mapping (an emulated device's access)"),
            Refusal("EOVERFLOW"),
        ],
    ]
}
