import CKernel
import Glibc
import Kernel

/// What a device says of itself. drivers/vfio/pci/vfio_pci_core.c
extension VFIODevice {
    /// vfio_pci_ioctl_get_info
    func information(_ user: UserMemory) throws(Errno) -> Int {
        let minimum = 16
        var info = try user.load(vfio_device_info.self, count: minimum)
        guard info.argsz >= UInt32(minimum) else { throw Errno(EINVAL) }
        info.flags = UInt32(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET)
        info.num_regions = UInt32(VFIO_PCI_NUM_REGIONS)
        info.num_irqs = UInt32(VFIO_PCI_NUM_IRQS)
        try user.store(info, count: min(Int(info.argsz), MemoryLayout<vfio_device_info>.size))
        return 0
    }

    /// vfio_pci_ioctl_get_region_info. No BAR here holds an MSI-X table, so none has a capability.
    func regionInformation(_ user: UserMemory) throws(Errno) -> Int {
        var info = try user.load(vfio_region_info.self)
        guard info.argsz >= 32 else { throw Errno(EINVAL) }
        let index = Int(info.index)
        info.flags = 0
        info.size = 0
        info.offset = UInt64(info.index) << 40
        let readWrite = UInt32(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
        switch index {
        case 0..<6:
            guard let bar = function.bar(index) else { break }
            info.size = bar.size
            info.flags = readWrite | (bar.kind == .io ? 0 : UInt32(VFIO_REGION_INFO_FLAG_MMAP))
        case VFIO_PCI_ROM_REGION_INDEX: break
        case VFIO_PCI_CONFIG_REGION_INDEX:
            info.size = UInt64(function.config.bytes.count)
            info.flags = readWrite
        default: throw Errno(EINVAL)
        }
        try user.store(info)
        return 0
    }

    /// vfio_pci_ioctl_get_irq_info, vfio_pci_get_irq_count: INTx where there is a pin, MSI and MSI-X where there is the
    /// capability, ERR and REQ always
    func interruptInformation(_ user: UserMemory) throws(Errno) -> Int {
        var info = try user.load(vfio_irq_info.self)
        guard info.argsz >= 16, info.index < UInt32(VFIO_PCI_NUM_IRQS) else { throw Errno(EINVAL) }
        info.flags = UInt32(VFIO_IRQ_INFO_EVENTFD)
        switch info.index {
        case 0:
            info.count = function.config.bytes[0x3d] == 0 ? 0 : 1
            info.flags |= UInt32(VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED)
        case 1:
            info.count =
                function.config.capabilities[0x05].map { 1 << (UInt32(function.config.bytes[$0 + 2]) >> 1 & 7) } ?? 0
            info.flags |= UInt32(VFIO_IRQ_INFO_NORESIZE)
        case 2:
            info.count =
                function.config.capabilities[0x11].map {
                    UInt32(function.config[$0 + 2, UInt16.self] & 0x7ff) + 1
                } ?? 0
            info.flags |= UInt32(VFIO_IRQ_INFO_NORESIZE)
        default:
            info.count = 1
            info.flags |= UInt32(VFIO_IRQ_INFO_NORESIZE)
        }
        try user.store(info)
        return 0
    }
}
