/// The kind of object that a call is made on, where an errno has another meaning for it than for the call in general.
/// The raw value is what help calls it.
public enum RefusalSubject: String, Sendable, CaseIterable {
    /// /dev/iommu.
    case iommufd = "/dev/iommu"
    /// A function's VFIO character device.
    case characterDevice = "a function's VFIO character device"
    /// A function's IOMMU group.
    case iommuGroup = "a function's IOMMU group"
    /// Configuration space as a region of a VFIO device.
    case configurationSpace = "configuration space"
    /// A region of a VFIO device that is being mapped.
    case regionMapping = "a region that is being mapped"
    /// Device or host memory that is mapped into this process.
    case mappedMemory = "mapped memory"
    /// The sysfs files bind, unbind and driver_override.
    case driverFile = "bind, unbind and driver_override in sysfs"
    /// A completion queue that is destroyed, though its channel is not.
    case destroyedQueue = "a completion queue that is destroyed"
    /// A completion queue without a channel.
    case queueWithoutEvents = "a completion queue without a channel"
    /// Queues of another context than the protection domain is of: their numbers could name something else in that.
    case queuesOfAnotherContext = "queues of another context than the protection domain's"
    /// A queue pair for datagrams, where a connection is meant.
    case datagramPair = "a queue pair for datagrams, where a connection is meant"
    /// A queue pair for a connection, where one for datagrams is meant.
    case connection = "a connection, where a queue pair for datagrams is meant"
    /// A datagram that goes nowhere.
    case datagramWithoutAddress = "a datagram that goes nowhere"
    /// A queue pair whose receive requests are a shared queue's.
    case pairOfSharedQueue = "a queue pair with a shared receive queue"
    /// Messages of a stream on their way.
    case stream = "the messages of traffic.stream"
    /// Messages to and fro.
    case pingPong = "the messages of traffic.ping_pong"
}

extension Refusal {
    /// The reason for an errno with such an object; nil where the call's own table has it.
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
            // Configuration space works whether or not memory is decoded.
            case .configurationSpace: [Refusal("EIO", "the device does not answer, or is suspended")]
            case .regionMapping:
                [Refusal("EINVAL", "offset and length must be page aligned and inside a mappable region")]
            // sys_copy_or_fault returns these errnos for SIGSEGV and SIGBUS.
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
            case .destroyedQueue: [Refusal("EINVAL", "it is destroyed; close it again, for its channel")]
            case .queueWithoutEvents:
                [Refusal("EINVAL", "it has no events: create_cq(cqe, { events = true })")]
            case .queuesOfAnotherContext:
                [Refusal("EINVAL", "its queues must be of the context that the protection domain is of")]
            case .datagramPair:
                [
                    Refusal(
                        "EINVAL",
                        "datagrams have no connection: call qp:to_rts, and send each to an address (pd:create_ah)")
                ]
            case .connection: [Refusal("EINVAL", "it is a connection; connect it to its peer")]
            case .datagramWithoutAddress:
                [Refusal("EINVAL", "a datagram needs ah, remote_qpn and remote_qkey")]
            case .pairOfSharedQueue:
                [Refusal("EINVAL", "it takes its receive requests from a shared queue: srq:post_recv")]
            case .stream:
                [
                    Refusal("EINVAL", "streams are for connections"),
                    Refusal(
                        "EPROTO",
                        "a completion came that is not this stream's: poll what was posted before, and give the queue pair a "
                            + "completion queue of its own"),
                    Refusal("EINTR", "interrupted with messages on their way"),
                ]
            case .pingPong:
                [Refusal("EINVAL", "a ping-pong is for connections with a receive queue of their own")]
            }
        return known.first { $0.name == errno.name }?.hint
    }
}
