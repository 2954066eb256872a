import CKernel
import Glibc
import Kernel

/// An IOMMU group and its VFIO side. drivers/vfio/group.c
final class VFIOGroup {
    let number: Int
    var functions: [PCIFunction] = []
    var devices: [VFIODevice] = []
    /// The one open of /dev/vfio/N.
    weak var file: VFIOGroupFile?
    var container: VFIOContainer?
    /// Who may use the group's DMA: a container, or the iommufd its devices are bound to.
    private(set) var owner: AnyObject?
    private var claims = 0
    /// Devices bound to an iommufd through their character device.
    var boundDevices = 0
    /// The page table each attached function uses.
    private var tables: [ObjectIdentifier: HWPT] = [:]

    init(_ number: Int) { self.number = number }

    /// drivers/iommu/iommu.c:iommu_device_use_default_domain: a host driver's claim. Port drivers make none.
    var isHeldByHost: Bool {
        functions.contains { function in
            guard let driver = function.driver else { return false }
            return !driver.hasPrefix("vfio") && driver != "pcieport" && driver != "pci-stub"
        }
    }

    /// Whether somebody other than a host driver may use its DMA.
    var isOwned: Bool { owner != nil }

    /// drivers/iommu/iommu.c:iommu_group_dma_owner_claimed
    var isClaimed: Bool { isHeldByHost || owner != nil }

    /// drivers/iommu/iommu.c:iommu_device_claim_dma_owner
    func claim(_ claimant: AnyObject) throws(Errno) {
        guard !isHeldByHost, owner == nil || owner === claimant else { throw Errno(EPERM) }
        owner = claimant
        claims += 1
    }

    func release() {
        claims -= 1
        if claims == 0 { owner = nil }
    }

    /// Drops references that lead back here, so that no cycle keeps the kernel alive.
    func abandon() {
        container?.remove(self)
        container = nil
        owner = nil
        tables = [:]
        for function in functions { function.space = nil }
    }

    func use(_ table: HWPT?, _ function: PCIFunction) { tables[ObjectIdentifier(function)] = table }

    /// The page table that a sibling of `function` is attached to.
    func table(besides function: PCIFunction) -> HWPT? {
        tables.first { $0.key != ObjectIdentifier(function) }?.value
    }
}

/// An open /dev/vfio/N. Device descriptors got through it keep it open.
final class VFIOGroupFile: OpenFile {
    let group: VFIOGroup

    init(_ kernel: SimKernel, _ group: VFIOGroup, flags: Int32) throws(Errno) {
        self.group = group
        super.init(kernel, "/dev/vfio/\(group.number)", flags: flags)
        // vfio_group_fops_open
        guard !group.devices.isEmpty else { throw Errno(ENODEV) }
        guard group.boundDevices == 0, group.file == nil else { throw Errno(EBUSY) }
        group.file = self
    }

    // vfio_group_fops_release
    override func closed() {
        group.file = nil
        if group.container != nil { detachContainer() }
    }

    var hasDevices: Bool { group.devices.contains { $0.openCount > 0 } }

    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        switch request {
        case VFIO_GROUP_GET_STATUS: return try status(user)
        case VFIO_GROUP_SET_CONTAINER: return try setContainer(user)
        case VFIO_GROUP_UNSET_CONTAINER: return try unsetContainer()
        case VFIO_GROUP_GET_DEVICE_FD: return try deviceDescriptor(user)
        default: throw Errno(ENOTTY)
        }
    }

    // vfio_group_ioctl_get_status
    private func status(_ user: UserMemory) throws(Errno) -> Int {
        var status = try user.load(vfio_group_status.self)
        guard status.argsz >= UInt32(offsetofend_vfio_group_status_flags) else { throw Errno(EINVAL) }
        status.flags = 0
        if group.container != nil {
            status.flags = UInt32(VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE)
        } else if !group.isClaimed {
            status.flags = UInt32(VFIO_GROUP_FLAGS_VIABLE)
        }
        try user.store(status)
        return 0
    }

    // vfio_group_ioctl_set_container, container.c:vfio_container_attach_group
    private func setContainer(_ user: UserMemory) throws(Errno) -> Int {
        let descriptor = try user.load(Int32.self)
        let file = try kernel.file(descriptor)
        guard group.container == nil else { throw Errno(EINVAL) }
        if file is IOMMUFDFile { throw kernel.notModelled("VFIO_GROUP_SET_CONTAINER to an iommufd", EOPNOTSUPP) }
        guard let container = (file as? VFIOContainerFile)?.container else { throw Errno(EBADFD) }
        try group.claim(container)
        group.container = container
        container.add(group)
        return 0
    }

    // vfio_group_ioctl_unset_container
    private func unsetContainer() throws(Errno) -> Int {
        guard group.container != nil else { throw Errno(EINVAL) }
        guard !hasDevices else { throw Errno(EBUSY) }
        detachContainer()
        return 0
    }

    private func detachContainer() {
        group.container?.remove(group)
        group.container = nil
        group.release()
    }

    // vfio_group_ioctl_get_device_fd, vfio_device_open_file, vfio_pci_core.c:vfio_pci_core_match
    private func deviceDescriptor(_ user: UserMemory) throws(Errno) -> Int {
        let text = try user.string(limit: 4096)
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard let name = words.first,
            let device = group.devices.first(where: { $0.function.device.address == name })
        else { throw Errno(ENODEV) }
        // A token is for functions of SR-IOV devices only, and no other option exists.
        guard words.dropFirst().allSatisfy({ $0.isEmpty }) else { throw Errno(EINVAL) }
        guard let container = group.container, container.isReady else { throw Errno(EINVAL) }
        let file = VFIODeviceFile(kernel, device, through: self)
        hold()
        device.open()
        return kernel.install(file, closesOnExec: true)
    }
}
