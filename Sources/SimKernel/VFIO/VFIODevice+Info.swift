import CKernel
import Glibc
import Kernel

/// What a device says of itself. drivers/vfio/pci/vfio_pci_core.c
extension VFIODevice {
    /// vfio_pci_ioctl_get_info
    func information(_ user: UserMemory) throws(Errno) -> Int {
        let minimum = offsetofend_vfio_device_info_num_irqs
        var info = try user.load(vfio_device_info.self, count: minimum)
        guard info.argsz >= UInt32(minimum) else { throw Errno(EINVAL) }
        info.flags = UInt32(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET)
        info.num_regions = UInt32(VFIO_PCI_NUM_REGIONS)
        info.num_irqs = UInt32(VFIO_PCI_NUM_IRQS)
        try user.store(info, count: min(Int(info.argsz), MemoryLayout<vfio_device_info>.size))
        return 0
    }

    /// vfio_pci_ioctl_get_region_info, vfio_main.c:vfio_get_region_info
    func regionInformation(_ user: UserMemory) throws(Errno) -> Int {
        var info = try user.load(vfio_region_info.self)
        guard info.argsz >= UInt32(offsetofend_vfio_region_info_offset) else { throw Errno(EINVAL) }
        let index = Int(info.index)
        info.flags = 0
        info.size = 0
        info.offset = UInt64(info.index) << VFIODevice.offsetShift
        let readWrite = UInt32(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
        switch index {
        case 0..<6:
            guard let bar = function.bar(index) else { break }
            info.size = bar.size
            info.flags = readWrite | (bar.kind == .io ? 0 : UInt32(VFIO_REGION_INFO_FLAG_MMAP))
            if bar.kind != .io, function.config.msixTable?.bar == index {
                try addCapability(&info, user)
            }
        case VFIO_PCI_ROM_REGION_INDEX: break
        case VFIO_PCI_CONFIG_REGION_INDEX:
            info.size = UInt64(config.bytes.count)
            info.flags = readWrite
        default: throw Errno(EINVAL)
        }
        try user.store(info)
        return 0
    }

    /// msix_mappable_cap: that the BAR with the MSI-X table can be mapped, behind the structure where there is room.
    private func addCapability(_ info: inout vfio_region_info, _ user: UserMemory) throws(Errno) {
        let header = vfio_info_cap_header(id: UInt16(VFIO_REGION_INFO_CAP_MSIX_MAPPABLE), version: 1, next: 0)
        let size = UInt32(MemoryLayout<vfio_region_info>.size)
        info.flags |= UInt32(VFIO_REGION_INFO_FLAG_CAPS)
        info.cap_offset = 0
        let needed = size + UInt32(MemoryLayout<vfio_info_cap_header>.size)
        guard info.argsz >= needed else {
            info.argsz = needed
            return
        }
        try user.store(header, at: UInt64(size))
        info.cap_offset = size
    }
}
