import CKernel
import Glibc
import Kernel

/// A descriptor of a VFIO device: /dev/vfio/devices/vfioN, or what VFIO_GROUP_GET_DEVICE_FD gives.
/// drivers/vfio/vfio_main.c, device_cdev.c
final class VFIODeviceFile: OpenFile {
    let device: VFIODevice
    /// The group it was opened through; nil on the character device.
    private let groupFile: VFIOGroupFile?
    private var context: IOMMUFD?
    private var deviceID: UInt32 = 0
    private var table: HWPT?
    private var isAttachedByPASID = false

    /// The caller has opened the device already.
    init(_ kernel: SimKernel, _ device: VFIODevice, through groupFile: VFIOGroupFile) {
        self.device = device
        self.groupFile = groupFile
        super.init(kernel, "vfio device \(device.function.device.address)", flags: O_RDWR)
    }

    init(_ kernel: SimKernel, _ device: VFIODevice, flags: Int32) {
        self.device = device
        groupFile = nil
        super.init(kernel, "/dev/vfio/devices/vfio\(device.number)", flags: flags)
    }

    /// vfio_main.c:df->access_granted
    private var isReady: Bool { groupFile != nil || context != nil }

    // vfio_device_fops_release, device_cdev.c:vfio_df_unbind_iommufd
    override func closed() {
        guard isReady else { return }
        device.close()
        if let context {
            detach()
            device.bound = nil
            context.remove(deviceID)
            device.group.boundDevices -= 1
            device.group.release()
        }
        groupFile?.release()
    }

    // vfio_device_fops_unl_ioctl, vfio_pci_core.c:vfio_pci_core_ioctl
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        if request == VFIO_DEVICE_BIND_IOMMUFD { return try bind(user) }
        guard isReady else { throw Errno(EINVAL) }
        // vfio_device_pm_runtime_get
        device.wake()
        switch request {
        case VFIO_DEVICE_ATTACH_IOMMUFD_PT where groupFile == nil: return try attach(user)
        case VFIO_DEVICE_DETACH_IOMMUFD_PT where groupFile == nil: return try detach(user)
        case VFIO_DEVICE_FEATURE: return try device.feature(user)
        case VFIO_DEVICE_GET_INFO: return try device.information(user)
        case VFIO_DEVICE_GET_REGION_INFO: return try device.regionInformation(user)
        case VFIO_DEVICE_GET_IRQ_INFO: return try device.interruptInformation(user)
        case VFIO_DEVICE_SET_IRQS: return try device.setInterrupts(user)
        case VFIO_DEVICE_RESET:
            device.reset()
            return 0
        case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: return try device.hotResetInformation(user, context)
        case VFIO_DEVICE_PCI_HOT_RESET: return try device.hotReset(user, context)
        case VFIO_DEVICE_IOEVENTFD: return try device.setIOEventFD(user)
        default: throw Errno(ENOTTY)
        }
    }

    // device_cdev.c:vfio_df_ioctl_bind_iommufd
    private func bind(_ user: UserMemory) throws(Errno) -> Int {
        let argsz = try user.load(UInt32.self)
        guard argsz >= UInt32(offsetofend_vfio_device_bind_iommufd_out_devid) else { throw Errno(EINVAL) }
        let size = MemoryLayout<vfio_device_bind_iommufd>.size
        try user.checkZero(from: UInt64(size), to: UInt64(argsz))
        var bind = try user.load(vfio_device_bind_iommufd.self, count: Int(argsz))
        guard bind.iommufd >= 0 else { throw Errno(EINVAL) }
        let hasToken = bind.flags & UInt32(VFIO_DEVICE_BIND_FLAG_TOKEN) != 0
        guard bind.flags & ~UInt32(VFIO_DEVICE_BIND_FLAG_TOKEN) == 0 else { throw Errno(EINVAL) }
        guard groupFile == nil else { throw Errno(EINVAL) }
        // vfio_device_block_group
        guard device.group.file == nil else { throw Errno(EBUSY) }
        guard context == nil else { throw Errno(EINVAL) }
        if hasToken {
            // vfio_pci_core_match_token_uuid: no function here has use for a token
            var uuid: UInt64 = 0
            guard sys_copy_from_address(&uuid, bind.token_uuid_ptr, 8) == 0 else { throw Errno(EFAULT) }
            throw Errno(EINVAL)
        }
        guard let context = (try kernel.file(bind.iommufd) as? IOMMUFDFile)?.context else { throw Errno(EBADFD) }
        // vfio_df_open
        guard device.openCount == 0 else { throw Errno(EINVAL) }
        // iommufd/device.c:iommufd_device_bind
        try device.group.claim(context)
        device.group.boundDevices += 1
        self.context = context
        deviceID = context.add { _ in .device(device.function) }
        device.bound = (context, deviceID)
        device.open()
        bind.out_devid = deviceID
        do throws(Errno) {
            try user.store(
                bind.out_devid,
                at: UInt64(offsetofend_vfio_device_bind_iommufd_iommufd))
        } catch {
            closed()
            self.context = nil
            throw error
        }
        return 0
    }

    // device_cdev.c:vfio_df_ioctl_attach_pt
    private func attach(_ user: UserMemory) throws(Errno) -> Int {
        let minimum = offsetofend_vfio_device_attach_iommufd_pt_pt_id
        var attach = try user.load(vfio_device_attach_iommufd_pt.self, count: minimum)
        let hasPASID = try checkPASID(argsz: attach.argsz, minimum: minimum, flags: attach.flags)
        if hasPASID { attach.pasid = try user.load(UInt32.self, at: UInt64(minimum)) }
        guard let context else { throw Errno(EINVAL) }
        // iommufd.c:vfio_iommufd_physical_pasid_attach_ioas: PASID 0 means no PASID; no function here supports others.
        guard attach.pasid == 0 else { throw Errno(EINVAL) }
        let new = try context.attach(device.function, device.group, to: attach.pt_id, replacing: table, kernel)
        table = new
        isAttachedByPASID = hasPASID
        device.group.use(new, device.function)
        attach.pt_id = new.id
        do throws(Errno) {
            try user.store(
                attach.pt_id,
                at: UInt64(offsetofend_vfio_device_attach_iommufd_pt_flags))
        } catch {
            detach()
            throw error
        }
        return 0
    }

    // device_cdev.c:vfio_df_ioctl_detach_pt
    private func detach(_ user: UserMemory) throws(Errno) -> Int {
        let minimum = offsetofend_vfio_device_detach_iommufd_pt_flags
        let request = try user.load(vfio_device_detach_iommufd_pt.self, count: minimum)
        let hasPASID = try checkPASID(argsz: request.argsz, minimum: minimum, flags: request.flags)
        let pasid = hasPASID ? try user.load(UInt32.self, at: UInt64(minimum)) : 0
        // iommufd.c:vfio_iommufd_physical_detach_ioas does not detach what was attached by PASID, nor the other way round.
        if pasid == 0, hasPASID == isAttachedByPASID { detach() }
        return 0
    }

    /// Whether the request has a PASID, in the four bytes behind the `minimum` that one without it has.
    private func checkPASID(argsz: UInt32, minimum: Int, flags: UInt32) throws(Errno) -> Bool {
        // VFIO_DEVICE_DETACH_PASID is the same bit.
        let flag = UInt32(VFIO_DEVICE_ATTACH_PASID)
        guard argsz >= UInt32(minimum) else { throw Errno(EINVAL) }
        guard flags & ~flag == 0 else { throw Errno(EINVAL) }
        guard flags & flag != 0 else { return false }
        guard argsz >= UInt32(minimum + 4) else { throw Errno(EINVAL) }
        return true
    }

    private func detach() {
        guard let table else { return }
        self.table = nil
        device.group.use(nil, device.function)
        context?.detach(table, device.function)
    }

    // MARK: Regions

    // vfio_device_fops_read, vfio_pci_core.c:vfio_pci_rw
    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try access(bytes, offset, write: false)
    }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        // Never written to: `write` says which way the bytes go.
        try access(UnsafeMutableRawBufferPointer(mutating: bytes), offset, write: true)
    }

    private func access(_ bytes: UnsafeMutableRawBufferPointer, _ offset: UInt64, write: Bool) throws(Errno) -> Int {
        guard isReady else { throw Errno(EINVAL) }
        // vfio_pci_core_read
        guard !bytes.isEmpty else { return 0 }
        let (index, position) = VFIODevice.region(at: offset)
        guard index < VFIO_PCI_NUM_REGIONS else { throw Errno(EINVAL) }
        // vfio_pci_rw: pm_runtime_resume_and_get
        device.wake()
        if index == VFIO_PCI_CONFIG_REGION_INDEX {
            return write
                ? try device.writeConfig(UnsafeRawBufferPointer(bytes), at: position)
                : try device.readConfig(bytes, at: position)
        }
        // vfio_pci_rdwr.c:vfio_pci_bar_rw; no function here has a ROM or VGA
        guard let bar = device.function.bar(index), position < bar.size else { throw Errno(EINVAL) }
        let count = Int(min(UInt64(bytes.count), bar.size - position))
        try device.transfer(
            bar, position, UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]), write: write)
        return count
    }

    override func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int { throw Errno(ESPIPE) }

    // vfio_device_fops_mmap, vfio_pci_core.c:vfio_pci_core_mmap
    override func map(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> (UnsafeMutableRawPointer, BARAddress?)
    {
        // mm/mmap.c:do_mmap takes VM_SHARED from the mapping of a file that cannot be written.
        guard isReady else { throw Errno(EINVAL) }
        let (index, position) = VFIODevice.region(at: offset)
        guard index < VFIO_PCI_NUM_REGIONS else { throw Errno(EINVAL) }
        guard flags & MAP_SHARED != 0 else { throw Errno(EINVAL) }
        guard isWritable else { throw Errno(EINVAL) }
        guard let bar = device.function.bar(index) else { throw Errno(EINVAL) }
        guard bar.kind != .io else { throw Errno(EINVAL) }
        let span = bar.size.wholePages
        guard position <= span, UInt64(length) <= span - position else { throw Errno(EINVAL) }
        guard bar.kind == .memory else { throw kernel.notModelled("mmap of engine registers", EOPNOTSUPP) }
        let address = try device.function.memory(bar).map(length: length, protection: protection, at: position)
        return (address, BARAddress(device: device, index: index, offset: position))
    }

    // vfio_main.c:vfio_device_show_fdinfo
    override var information: String {
        "vfio-device-syspath: /sys/\(kernel.place(of: device.function.device.address))\n"
    }
}
