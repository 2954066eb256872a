/// What a call was made on, where an errno means something else there than it does of the call in general.
public enum RefusalSubject: Sendable {
    /// /dev/iommu.
    case iommufd
    /// A function's VFIO character device.
    case characterDevice
    /// A function's IOMMU group.
    case iommuGroup
    /// Configuration space as a region of a VFIO device.
    case configurationSpace
    /// A region of a VFIO device that is being mapped.
    case regionMapping
    /// Memory of a device or of this machine that is mapped into this process.
    case mappedMemory
    /// bind, unbind and driver_override in sysfs.
    case driverFile
}

extension Refusal {
    /// The reason for an errno of such a subject; nil where the call's own table has it.
    public static func hint(of subject: RefusalSubject, _ errno: Errno) -> String? {
        let known: [Refusal] =
            switch subject {
            case .iommufd: [Refusal("ENOENT", "this kernel has no iommufd (CONFIG_IOMMUFD)")]
            case .characterDevice:
                [
                    Refusal(
                        "ENOENT", "it has no VFIO character device (CONFIG_VFIO_DEVICE_CDEV); use via = \"group\"")
                ]
            case .iommuGroup:
                [Refusal("ENODEV", "it has no IOMMU group; is the IOMMU on (intel_iommu=on, amd_iommu=on)?")]
            // It is there whether or not memory is decoded.
            case .configurationSpace: [Refusal("EIO", "the device does not answer, or is suspended")]
            case .regionMapping:
                [Refusal("EINVAL", "offset and length must be page aligned and inside a mappable region")]
            // sys_copy_or_fault answers with these for a SIGSEGV and a SIGBUS.
            case .mappedMemory:
                [
                    Refusal("EFAULT", "SIGSEGV: it was mapped with a protection that does not permit this"),
                    Refusal("EIO", "SIGBUS: the device's memory decode is off, or it is suspended or gone"),
                ]
            case .driverFile:
                [
                    Refusal("EACCES", "drivers are root's to change: sudo"),
                    Refusal("EPERM", "drivers are root's to change: sudo"),
                ]
            }
        return known.first { $0.name == errno.name }?.hint
    }
}
