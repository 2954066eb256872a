import CKernel
import Kernel

/// What calls change. Where it is not known that a call only asks, it counts as one that changes its objects.
extension Operation {
    private static let posting: Set<String> = ["ibv_post_send", "ibv_post_recv", "ibv_post_srq_recv"]

    /// Calls that give something a name, and ready what they are made on.
    private static let readying: Set<String> = ["VFIO_DEVICE_BIND_IOMMUFD", "ibv_poll_cq"]

    /// Calls that only ask. What takes an event, clears what it tells, or moves a file's position is not among them.
    private static let asking: Set<String> = [
        "pread", "load", "poll", "nanosleep", "readlink", "getdents", "fsync", "VFIO_CHECK_EXTENSION",
        "IOMMU_IOAS_IOVA_RANGES", "IOMMU_IOAS_NOIOMMU_GET_PA", "EDU_STATE", "EDU_HINT", "ibv_get_device_list",
        "ibv_memcpy_from_dm",
    ]

    /// Calls that change what every later one may meet, whatever it names.
    private static let common: Set<String> = ["mkdir", "rename", "unlink"]

    /// Whether it posts work, or takes its completions.
    var isWork: Bool { Operation.posting.contains(name) || name == "ibv_poll_cq" }

    /// Whether it only asks.
    var isAsking: Bool {
        if Operation.asking.contains(name) || name.hasPrefix("ibv_query_") { return true }
        if name == "VFIO_DEVICE_FEATURE" { return isAskingOfFeature }
        return request != nil && name.contains("_GET_") && !name.contains("DIRTY") && !isMaking
    }

    /// A feature is asked for by GET and PROBE; a GET may make a dma-buf, and that of what was logged clears it.
    private var isAskingOfFeature: Bool {
        guard case .structure(let members)? = arguments.last else { return false }
        func number(_ name: String) -> UInt64? {
            if case .number(let number, _)? = members.first(where: { $0.name == name })?.value { number } else { nil }
        }
        // Their place is the upper half of the flags.
        guard let operation = number("operation").map({ $0 << 16 }) else { return false }
        if operation & UInt64(VFIO_DEVICE_FEATURE_PROBE) != 0 { return true }
        return operation & UInt64(VFIO_DEVICE_FEATURE_SET) == 0 && !isMaking
            && number("feature") != UInt64(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)
    }

    /// Whether it makes an object, or memory: more than an address.
    private var isMaking: Bool {
        makes.contains { name in
            let kind = Symbols.kind(of: String(name.prefix { $0 != "." }))
            return !["iova", "bus", "ibdev"].contains(kind) && !name.contains(".gid")
        }
    }

    /// Whether it was answered with a success and may have changed what it names. What only makes something new has not.
    var changesState: Bool { errno == nil && !isAsking && (!isMaking || Operation.readying.contains(name)) }

    /// Whether later calls may meet another machine, whatever they name: a write to a file of the machine's, such as
    /// sysfs has.
    var changesMachine: Bool {
        guard errno == nil else { return false }
        if Operation.common.contains(name) { return true }
        guard ["write", "pwrite"].contains(name), case .symbol(let file, _)? = arguments.first else { return false }
        return Symbols.kind(of: file) == "file"
    }
}
