/// Why a call usually fails that way and what to do next, by operation and errno. Sources: the kernel files named in
/// each case, and the manual pages of libibverbs.
enum Hints {
    static func hint(for operation: String, _ errno: Errno) -> String? {
        switch operation {
        case "VFIO_DEVICE_FEATURE DMA_BUF GET": return exportDMABuf(errno)
        case "VFIO_DEVICE_FEATURE DMA_BUF_TPH SET": return setTPH(errno)
        case "VFIO_DEVICE_BIND_IOMMUFD": return bind(errno)
        case "VFIO_GROUP_SET_CONTAINER": return setContainer(errno)
        case "IOMMU_IOAS_MAP_FILE": return mapFile(errno)
        case "VFIO_IOMMU_MAP_DMA", "IOMMU_IOAS_MAP": return map(errno)
        case "IOMMU_IOAS_UNMAP": return unmap(errno)
        case "VFIO_DEVICE_RESET": return reset(errno)
        case "VFIO_DEVICE_SET_IRQS": return setInterrupts(errno)
        case "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", "VFIO_DEVICE_PCI_HOT_RESET": return hotReset(errno)
        case "VFIO_DEVICE_IOEVENTFD": return writeByEvent(errno)
        case "IOMMU_IOAS_ALLOW_IOVAS", "IOMMU_OPTION", "IOMMU_HWPT_ALLOC", "IOMMU_GET_HW_INFO":
            return addressSpace(operation, errno)
        case "pread", "pwrite": return access(errno)
        default:
            return operation.hasPrefix("ibv_") || operation.hasPrefix("mlx5dv_")
                ? verbs(operation, errno) : other(operation, errno)
        }
    }

    // drivers/vfio/pci/vfio_pci_dmabuf.c
    private static func exportDMABuf(_ errno: Errno) -> String? {
        switch errno.name {
        case "EINVAL":
            return "every range must be non-empty, page aligned and end inside the region, which must be memory; "
                + "open_flags are not checked"
        case "ENODEV": return "the region is not a memory BAR of this device (empty, ROM, config or VGA)"
        case "EOPNOTSUPP": return "the device's VFIO driver has no dma-buf export; vfio-pci has"
        case "ENOTTY": return "this kernel has no dma-buf export (CONFIG_VFIO_PCI_DMABUF, 6.19 and later)"
        case "EOVERFLOW": return "the range wraps around the end of the address space"
        case "EMFILE": return "this process has no descriptor left (ulimit -n)"
        default: return nil
        }
    }

    // "vfio/dma-buf: add TPH support", v2 to v11
    private static func setTPH(_ errno: Errno) -> String? {
        switch errno.name {
        case "ENOTTY": return "this kernel has no feature of that number; see --tph-abi"
        case "EOPNOTSUPP":
            return "the exporting device is no TPH completer (DevCap2 bits 13:12), or no extended one for a 16-bit tag"
        case "EINVAL":
            return
                "a value or the structure's size is not this kernel's, or the dma-buf is another device's; see --tph-abi"
        case "EBADF": return "the dma-buf descriptor is not open"
        case "EBUSY": return "this revision (v4) takes one tag per dma-buf; export again to change it"
        default: return nil
        }
    }

    // drivers/vfio/device_cdev.c, drivers/iommu/iommufd/device.c
    private static func bind(_ errno: Errno) -> String? {
        switch errno.name {
        case "EBUSY": return "the device's group is open through /dev/vfio/GROUP"
        case "EINVAL": return "the device is open elsewhere, or its IOMMU is not cache coherent"
        case "EPERM": return "another function of its IOMMU group is in use by a host driver, or MSI is not isolated"
        case "ENODEV": return "the device has no IOMMU group; is the IOMMU on (intel_iommu=on)?"
        default: return nil
        }
    }

    // drivers/iommu/iommu.c: iommu_group_claim_dma_owner
    private static func setContainer(_ errno: Errno) -> String? {
        switch errno.name {
        case "EPERM":
            return "another function of the IOMMU group is bound to a host driver; bind all of them to vfio-pci"
        case "EBUSY": return "the group is in use by another process"
        default: return nil
        }
    }

    // drivers/iommu/iommufd/{io_pagetable,pages}.c
    private static func mapFile(_ errno: Errno) -> String? {
        switch errno.name {
        case "ENODEV": return "the dma-buf is revoked: memory decode is off, or its device was reset or closed"
        case "EOPNOTSUPP": return "iommufd imports only VFIO PCI dma-bufs of exactly one range"
        case "EINVAL": return "start and length must lie inside the dma-buf; iova and length must be page aligned"
        case "ENOTTY": return "this kernel has no IOMMU_IOAS_MAP_FILE (6.13 and later)"
        default: return map(errno)
        }
    }

    private static func map(_ errno: Errno) -> String? {
        switch errno.name {
        case "EFAULT": return "the memory cannot be pinned; a BAR goes through a dma-buf (map_file), not its address"
        case "EEXIST": return "that IOVA range is already mapped"
        case "EINVAL": return "size 0, not page aligned, or a reserved IOVA range"
        case "ENOMEM": return "over the locked memory limit (ulimit -l)"
        case "EADDRINUSE": return "an attached device's reserved range is there"
        default: return nil
        }
    }

    private static func unmap(_ errno: Errno) -> String? {
        errno.name == "ENOENT" ? "nothing is mapped there, or a mapping reaches outside the range" : nil
    }

    // drivers/vfio/pci/vfio_pci_core.c
    private static func reset(_ errno: Errno) -> String? {
        switch errno.name {
        case "EINVAL": return "the device has no function reset (its info lacks RESET)"
        case "EAGAIN": return "the device's lock is held; try again"
        default: return nil
        }
    }

    // drivers/vfio/vfio_main.c:vfio_set_irqs_validate_and_prepare, drivers/vfio/pci/vfio_pci_intrs.c
    private static func setInterrupts(_ errno: Errno) -> String? {
        switch errno.name {
        case "EINVAL":
            return
                "the vectors or the size of the data do not fit, another kind of interrupt is enabled, the one meant is "
                + "not, or the device is not in D0"
        case "ENOTTY": return "this kind of interrupt has no such action (only INTx can be masked)"
        case "ERANGE": return "MSI or MSI-X cannot be enabled without a vector"
        case "EBADF": return "an eventfd is not open"
        case "EBUSY": return "an eventfd unmasks the INTx already"
        default: return nil
        }
    }

    // drivers/vfio/pci/vfio_pci_core.c
    private static func hotReset(_ errno: Errno) -> String? {
        switch errno.name {
        case "EINVAL":
            return "a device of the bus is not this program's, or the groups are not those of the bus; opened by its "
                + "character device it takes no groups, otherwise at least one"
        case "ENODEV": return "the bus cannot be reset: no port is above it"
        case "ENOSPC": return "the buffer is too small for the devices of the bus; their count was written"
        case "ENOTTY": return "the link to the device did not come back"
        default: return nil
        }
    }

    // drivers/vfio/pci/vfio_pci_rdwr.c:vfio_pci_ioeventfd
    private static func writeByEvent(_ errno: Errno) -> String? {
        switch errno.name {
        case "EINVAL": return "1, 2, 4 or 8 bytes inside a BAR, outside the MSI-X table"
        case "EEXIST": return "an eventfd does this write already"
        case "ENODEV": return "no eventfd does this write"
        case "ENOSPC": return "a device has room for 1000"
        default: return nil
        }
    }

    // drivers/iommu/iommufd/{ioas,hw_pagetable,device}.c
    private static func addressSpace(_ operation: String, _ errno: Errno) -> String? {
        switch (operation, errno.name) {
        case ("IOMMU_IOAS_ALLOW_IOVAS", "EADDRINUSE"):
            return "an attached device or page table reserves part of a range"
        case ("IOMMU_IOAS_ALLOW_IOVAS", "EINVAL"): return "ranges must not overlap, and have more than one byte"
        case ("IOMMU_OPTION", "EBUSY"): return "accounting is chosen before the context has any object"
        case ("IOMMU_OPTION", "EINVAL"): return "the value is 0 or 1; with a page table, only while nothing is mapped"
        case ("IOMMU_HWPT_ALLOC", "EADDRINUSE"):
            return "something is mapped, or allowed, where the IOMMU has no addresses"
        case (_, "EOPNOTSUPP"): return "this IOMMU or kernel does not know a flag, option or type"
        case (_, "ENOENT"): return "no such object"
        default: return nil
        }
    }

    private static func access(_ errno: Errno) -> String? {
        switch errno.name {
        case "EIO": return "the device's memory decode is off (PCI_COMMAND bit 1), or it is suspended"
        case "EFAULT": return "outside the configuration space"
        case "EINVAL": return "no such region, or an offset beyond its end"
        default: return nil
        }
    }

    private static func verbs(_ operation: String, _ errno: Errno) -> String? {
        switch (operation, errno.name) {
        case ("ibv_get_device_list", "ENOSYS"):
            return "this machine has no RDMA: no device, or the kernel module ib_uverbs is not loaded"
        case ("ibv_reg_dmabuf_mr", "EOPNOTSUPP"):
            return
                "the NIC's driver registers no dma-bufs, or not this exporter's; mlx5 (with ODP) and irdma take VFIO's"
        case ("ibv_reg_dmabuf_mr", "ENODEV"):
            return "the dma-buf is revoked: memory decode is off, or its device was closed"
        case ("ibv_reg_dmabuf_mr", "EINVAL"):
            return "offset and iova must agree within the page, the range lie inside the dma-buf, remote_write and "
                + "remote_atomic need local_write; or there is no peer-to-peer route to the exporter"
        case ("ibv_reg_dmabuf_mr", "EADDRINUSE"):
            return "7.3 maps no dma-buf of several ranges through an IOMMU: export one range"
        case ("ibv_dealloc_pd", "EBUSY"): return "a memory region still uses it; close that first"
        case (_, "ENOSYS"): return "the installed libibverbs has no \(operation); newer rdma-core has"
        case (_, "EPROTONOSUPPORT"): return "this kernel lacks the uverbs method"
        default: return nil
        }
    }

    private static func other(_ operation: String, _ errno: Errno) -> String? {
        switch (operation, errno.name) {
        case ("open", "EACCES"), ("open", "EPERM"):
            return "no permission; run as root or give yourself the device node (udev rule, chown)"
        case ("open", "EBUSY"):
            return "in use: the group is open already, or one of its devices is open through its cdev"
        case ("VFIO_GROUP_GET_DEVICE_FD", "ENODEV"): return "that device is not in the group"
        case ("IOMMU_DESTROY", "EBUSY"): return "a device is attached to it"
        default: return nil
        }
    }
}
