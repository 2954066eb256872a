public import CKernel
import Glibc
public import Kernel

/// An open VFIO PCI device. Source: Documentation/driver-api/vfio.rst; drivers/vfio/{group,device_cdev}.c.
public struct VFIODevice: ~Copyable {
    /// How a device is opened.
    public enum Path: Int64, Sendable {
        /// The character device and an iommufd, where the machine has them; else the group.
        case present = 0
        /// /dev/vfio/devices/vfioN, bound to an iommufd.
        case cdev = 1
        /// /dev/vfio/GROUP in a container with a type1 IOMMU.
        case group = 2
    }

    /// Whose device it is.
    public let kernel: any Kernel
    /// Its address.
    public let address: PCIAddress
    /// The device's descriptor, which its dma-bufs need to be given a tag.
    public let device: SharedDescriptor
    // What this device opened for itself and closes with it, in this order.
    private var group: OwnedDescriptor?
    private var container: OwnedDescriptor?
    private var iommufd: OwnedDescriptor?
    private var regions: [UInt32: Region] = [:]

    /// The device's descriptor.
    public var descriptor: Int32 { device.raw }
    /// Whether it is open.
    public var isOpen: Bool { device.isOpen }
    /// How messages call it.
    public var label: String { "\(address)" }

    /// Opens a device that is bound to a VFIO driver.
    /// - Parameters:
    ///   - path: the way to open it.
    ///   - iommufd: the context to bind to on the cdev path; nil makes one that lives as long as the device.
    ///   - container: the container to join on the group path; nil makes one likewise.
    public static func open(
        _ address: PCIAddress, via path: Path, iommufd: SharedDescriptor? = nil, container: Type1Domain? = nil,
        kernel: any Kernel
    ) throws(Failure) -> VFIODevice {
        let function = try PCIFunction(address, kernel: kernel)
        guard function.isVFIO else {
            let driver = function.driver.map { "bound to the driver \($0)" } ?? "bound to no driver"
            throw Failure(
                "open", .noDevice, object: "\(address)",
                hint:
                    "it is \(driver), not to vfio-pci; `peerlab bind \(address)` looks whether anything uses it and binds it, "
                    + "as `--bind` does for one run")
        }
        let wantsCdev = container == nil && (path == .cdev || (path == .present && function.cdev != nil))
        if wantsCdev {
            do throws(Failure) { return try VFIODevice(cdev: function, iommufd, kernel) } catch {
                // Without CONFIG_VFIO_DEVICE_CDEV sysfs names the device as well, and the file is not there; a container may show it
                // without /dev/iommu.
                let lacksIOMMUFD = error.object == "/dev/iommu"
                guard path == .present, iommufd == nil, error.errno == .noEntry,
                    lacksIOMMUFD || !VFIODevice.isThere(function.cdev, kernel)
                else { throw error }
                guard lacksIOMMUFD else { return try VFIODevice(group: function, container, kernel) }
                let first = error
                do throws(Failure) { return try VFIODevice(group: function, container, kernel) } catch {
                    throw error.errno == .noEntry ? first : error
                }
            }
        }
        return try VFIODevice(group: function, container, kernel)
    }

    /// Whether a character device has a file.
    private static func isThere(_ cdev: String?, _ kernel: any Kernel) -> Bool {
        guard let cdev, let files = try? kernel.list("/dev/vfio/devices") else { return false }
        return files.contains(cdev)
    }

    private init(cdev function: PCIFunction, _ shared: SharedDescriptor?, _ kernel: any Kernel) throws(Failure) {
        guard let name = function.cdev else {
            throw Failure("open", .noEntry, object: "\(function.address)", of: .characterDevice)
        }
        let device = SharedDescriptor(try kernel.opened("/dev/vfio/devices/\(name)", flags: O_RDWR | O_CLOEXEC))
        var own: OwnedDescriptor?
        if shared == nil { own = try kernel.opened("/dev/iommu", flags: O_RDWR | O_CLOEXEC) }
        var bind = vfio_device_bind_iommufd()
        bind.argsz = UInt32(MemoryLayout<vfio_device_bind_iommufd>.size)
        bind.iommufd = shared?.raw ?? VFIODevice.raw(own)
        do throws(Failure) {
            try kernel.send(VFIO_DEVICE_BIND_IOMMUFD, on: .device, device.raw, &bind, object: "\(function.address)")
        } catch {
            throw VFIODevice.explained(error, function, kernel)
        }
        self.init(function.address, device, iommufd: own, kernel)
    }

    private init(group function: PCIFunction, _ shared: Type1Domain?, _ kernel: any Kernel) throws(Failure) {
        guard let number = function.group else {
            throw Failure("open", .noDevice, object: "\(function.address)", of: .iommuGroup)
        }
        let group = try kernel.opened("/dev/vfio/\(number)", flags: O_RDWR | O_CLOEXEC)
        var own: OwnedDescriptor?
        if shared == nil { own = try kernel.opened("/dev/vfio/vfio", flags: O_RDWR | O_CLOEXEC) }
        var descriptor = shared?.descriptor.raw ?? VFIODevice.raw(own)
        let object = "group \(number) of \(function.address)"
        do throws(Failure) {
            try kernel.send(VFIO_GROUP_SET_CONTAINER, on: .group, group.raw, &descriptor, object: object)
        } catch {
            throw VFIODevice.explained(error, function, kernel)
        }
        if shared?.hasIOMMU != true {
            try kernel.send(
                VFIO_SET_IOMMU, on: .container, descriptor, .value(UInt(VFIO_TYPE1v2_IOMMU)),
                object: "container of \(function.address)")
            shared?.hasIOMMU = true
        }
        var name = Array("\(function.address)".utf8) + [0]
        let raw = try kernel.send(VFIO_GROUP_GET_DEVICE_FD, on: .group, group.raw, bytes: &name, object: object)
        let device = SharedDescriptor(OwnedDescriptor(Int32(truncatingIfNeeded: raw), kernel))
        self.init(function.address, device, group: group, container: own, kernel)
    }

    private init(
        _ address: PCIAddress, _ device: SharedDescriptor, group: consuming OwnedDescriptor? = nil,
        container: consuming OwnedDescriptor? = nil, iommufd: consuming OwnedDescriptor? = nil, _ kernel: any Kernel
    ) {
        self.kernel = kernel
        self.address = address
        self.device = device
        self.group = group
        self.container = container
        self.iommufd = iommufd
    }

    private static func raw(_ descriptor: borrowing OwnedDescriptor?) -> Int32 {
        switch descriptor {
        case .some(let owned): owned.raw
        case .none: -1
        }
    }

    /// EPERM names the sibling that is in the way.
    private static func explained(_ failure: Failure, _ function: PCIFunction, _ kernel: any Kernel) -> Failure {
        let siblings = failure.errno == .notPermitted ? function.siblingsInUse(kernel: kernel) : []
        guard !siblings.isEmpty else { return failure }
        let list = siblings.map { "\($0.address) (driver \($0.driver ?? "none"))" }.joined(separator: ", ")
        return Failure(
            failure.operation, failure.errno, object: failure.object, request: failure.request,
            hint: "its IOMMU group \(function.group ?? -1) also holds \(list); bind all of the group to vfio-pci")
    }

    /// Closes the device and what was opened with it. Its dma-bufs live on, revoked.
    public mutating func close() throws(Failure) {
        let result = device.close()
        _ = group?.close()
        _ = container?.close()
        _ = iommufd?.close()
        if let errno = Errno(result: result) { throw Failure("close", errno, object: label) }
    }

    /// Resets the function. Revokes its dma-bufs for the time of the reset. drivers/vfio/pci/vfio_pci_core.c.
    public func reset() throws(Failure) {
        try kernel.send(VFIO_DEVICE_RESET, on: .device, descriptor, object: label)
    }

    /// What VFIO_DEVICE_GET_INFO says.
    public func info() throws(Failure) -> vfio_device_info {
        var info = vfio_device_info()
        info.argsz = UInt32(MemoryLayout<vfio_device_info>.size)
        try kernel.send(VFIO_DEVICE_GET_INFO, on: .device, descriptor, &info, object: label)
        return info
    }

    /// What VFIO_DEVICE_GET_IRQ_INFO says of an interrupt index (0 INTx, 1 MSI, 2 MSI-X, 3 error, 4 request).
    public func irqInfo(_ index: UInt32) throws(Failure) -> vfio_irq_info {
        var info = vfio_irq_info()
        info.argsz = UInt32(MemoryLayout<vfio_irq_info>.size)
        info.index = index
        try kernel.send(VFIO_DEVICE_GET_IRQ_INFO, on: .device, descriptor, &info, object: "\(label) irq \(index)")
        return info
    }

    /// What VFIO_DEVICE_GET_REGION_INFO says; asked once for each region.
    public mutating func region(_ index: UInt32) throws(Failure) -> Region {
        if let known = regions[index] { return known }
        var info = vfio_region_info()
        info.argsz = UInt32(MemoryLayout<vfio_region_info>.size)
        info.index = index
        try kernel.send(
            VFIO_DEVICE_GET_REGION_INFO, on: .device, descriptor, &info, object: "\(label) region \(index)")
        let region = Region(index: index, flags: info.flags, size: info.size, offset: info.offset)
        regions[index] = region
        return region
    }

    /// Attaches to an IOAS (cdev path); the id of the hardware page table that the kernel made comes back.
    public func attach(ioas: UInt32) throws(Failure) -> UInt32 {
        var attach = vfio_device_attach_iommufd_pt()
        attach.argsz = UInt32(MemoryLayout<vfio_device_attach_iommufd_pt>.size)
        attach.pt_id = ioas
        try kernel.send(VFIO_DEVICE_ATTACH_IOMMUFD_PT, on: .device, descriptor, &attach, object: label)
        return attach.pt_id
    }

    /// Detaches from its IOAS.
    public func detach() throws(Failure) {
        var detach = vfio_device_detach_iommufd_pt()
        detach.argsz = UInt32(MemoryLayout<vfio_device_detach_iommufd_pt>.size)
        try kernel.send(VFIO_DEVICE_DETACH_IOMMUFD_PT, on: .device, descriptor, &detach, object: label)
    }
}

/// A region of a device: BAR 0 to 5 are 0 to 5, ROM 6, configuration space 7, VGA 8.
public struct Region: Sendable {
    /// The VFIO index.
    public let index: UInt32
    /// VFIO_REGION_INFO_FLAG_*.
    public let flags: UInt32
    /// Bytes; 0 where the device has no such region.
    public let size: UInt64
    /// Where it lies in the device's file.
    public let offset: UInt64

    /// Can be read.
    public var isReadable: Bool { flags & UInt32(VFIO_REGION_INFO_FLAG_READ) != 0 }
    /// Can be written.
    public var isWritable: Bool { flags & UInt32(VFIO_REGION_INFO_FLAG_WRITE) != 0 }
    /// Can be mapped.
    public var isMappable: Bool { flags & UInt32(VFIO_REGION_INFO_FLAG_MMAP) != 0 }
}
