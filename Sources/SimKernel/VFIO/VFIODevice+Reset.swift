import CKernel
import Glibc
import Kernel

/// Power states and resets. drivers/vfio/pci/vfio_pci_core.c
extension VFIODevice {
    /// vfio_pci_set_power_state: a function that does not keep its state in D3hot gets it back from a copy.
    func power(to state: UInt8) {
        let hardware = function.config
        guard state != hardware.powerState, hardware.canEnter(state) else { return }
        if !hardware.keepsStateInD3 {
            if state == 3 { savedForD3 = hardware }
            if state == 0, hardware.powerState == 3, let saved = savedForD3 {
                function.config.restore(saved)
                savedForD3 = nil
            }
        }
        function.config.powerState = state
    }

    /// vfio_pci_ioctl_reset
    func reset() {
        power(to: 0)
        resetFunction()
    }

    /// pci_try_reset_function saves the configuration, resets in D0 and restores what it saved.
    func resetFunction() {
        moveBuffers(revoked: true)
        function.config.powerState = 0
        restoreBuffers()
    }

    // MARK: Hot reset

    /// The functions that a reset of the bus takes along. The kernel's dev_set is those of them that VFIO has.
    private var busFunctions: [PCIFunction] {
        let bus = function.device.bus
        return kernel.functions.values.filter { $0.device.bus == bus }.sorted { $0.device.address < $1.device.address }
    }

    /// drivers/pci/pci.c:pci_probe_reset_slot, pci_probe_reset_bus: what lies below a port can be reset.
    private var hasResettableBus: Bool { kernel.routes.isBelowPort(function.device.address) }

    /// vfio_pci_ioctl_get_pci_hot_reset_info. `context` is set where the device was opened by its character device.
    func hotResetInformation(_ user: UserMemory, _ context: IOMMUFD?) throws(Errno) -> Int {
        var info = try user.load(vfio_pci_hot_reset_info.self)
        let minimum = UInt32(offsetofend_vfio_pci_hot_reset_info_count)
        guard info.argsz >= minimum else { throw Errno(EINVAL) }
        info.flags = 0
        guard hasResettableBus else { throw Errno(ENODEV) }
        let functions = busFunctions
        info.count = UInt32(functions.count)
        let size = MemoryLayout<vfio_pci_dependent_device>.stride
        guard functions.count <= Int(info.argsz - minimum) / size else {
            try user.store(info)
            throw Errno(ENOSPC)
        }
        if context != nil {
            info.flags = UInt32(VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED)
        }
        for (index, function) in functions.enumerated() {
            let device = kernel.device(of: function)
            // vfio_pci_fill_devs
            var entry = vfio_pci_dependent_device(
                group_id: UInt32(function.device.group), segment: function.device.segment,
                bus: function.device.busNumber, devfn: function.device.slotAndFunction)
            if let context {
                let owned = device.flatMap { $0.owned(by: context) }
                entry.group_id = owned ?? UInt32.max
                if owned == nil { info.flags &= ~UInt32(VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED) }
            }
            try user.store(entry, at: UInt64(minimum) + UInt64(size * index))
        }
        try user.store(info)
        return 0
    }

    /// drivers/vfio/iommufd.c:vfio_iommufd_get_dev_id. 0 where a sibling in the group makes it the context's; nil where
    /// nothing does.
    private func owned(by context: IOMMUFD) -> UInt32? {
        if let bound, bound.context === context { return bound.id }
        return group.devices.contains { $0.bound?.context === context } ? 0 : nil
    }

    /// vfio_pci_ioctl_pci_hot_reset
    func hotReset(_ user: UserMemory, _ context: IOMMUFD?) throws(Errno) -> Int {
        let request = try user.load(vfio_pci_hot_reset.self)
        let minimum = offsetofend_vfio_pci_hot_reset_count
        guard request.argsz >= UInt32(minimum) else { throw Errno(EINVAL) }
        guard request.flags == 0 else { throw Errno(EINVAL) }
        guard (request.count == 0) == (context != nil) else { throw Errno(EINVAL) }
        guard hasResettableBus else { throw Errno(ENODEV) }
        if let context { return try resetBus { $0.owned(by: context) != nil } }
        // vfio_pci_ioctl_pci_hot_reset_groups
        guard request.count <= busFunctions.count else { throw Errno(EINVAL) }
        var groups: [VFIOGroup] = []
        let descriptors = try user.bytes(at: UInt64(minimum), count: 4 * Int(request.count))
        for index in 0..<Int(request.count) {
            let number = descriptors.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self) }
            guard let file = try kernel.file(number) as? VFIOGroupFile else { throw Errno(EINVAL) }
            groups.append(file.group)
        }
        return try resetBus { device in groups.contains { $0 === device.group } }
    }

    // vfio_pci_dev_set_hot_reset
    private func resetBus(_ isOwned: (VFIODevice) -> Bool) throws(Errno) -> Int {
        let functions = busFunctions
        let devices = functions.compactMap(kernel.device(of:))
        // vfio_pci_dev_set_resettable
        guard devices.count == functions.count else { throw Errno(EINVAL) }
        for device in devices { device.wake() }
        let first = devices.firstIndex { !isOwned($0) } ?? devices.count
        for device in devices[..<first] { device.moveBuffers(revoked: true) }
        if first == devices.count {
            for device in devices { device.power(to: 0) }
        }
        for device in devices[..<first].reversed() where device.openCount > 0 { device.restoreBuffers() }
        guard first == devices.count else { throw Errno(EINVAL) }
        return 0
    }
}
