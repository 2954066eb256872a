import CKernel
import Glibc
import Kernel

/// An iommufd context: the objects behind one open of /dev/iommu. Bound devices keep it alive.
/// drivers/iommu/iommufd/main.c
final class IOMMUFD {
    enum Object {
        case ioas(IOAS)
        case hwpt(HWPT)
        case device(PCIFunction)
    }
    private(set) var objects: [UInt32: Object] = [:]
    private var numbers = LowestFree(from: 1)
    /// What requests of VFIO's containers work on (ictx->vfio_ioas).
    weak var compatible: IOAS?
    /// Whether pinned memory counts against the process, as VFIO has it (IOPT_PAGES_ACCOUNT_MM).
    var countsByProcess = false

    func add(_ object: (UInt32) -> Object) -> UInt32 {
        let id = UInt32(truncatingIfNeeded: numbers.take())
        objects[id] = object(id)
        return id
    }

    func remove(_ id: UInt32) {
        guard objects.removeValue(forKey: id) != nil else { return }
        numbers.giveBack(Int(id))
    }

    func ioas(_ id: UInt32) throws(Errno) -> IOAS {
        guard case .ioas(let ioas)? = objects[id] else { throw Errno(ENOENT) }
        return ioas
    }

    func table(_ id: UInt32) throws(Errno) -> HWPT {
        guard case .hwpt(let table)? = objects[id] else { throw Errno(ENOENT) }
        return table
    }

    func device(_ id: UInt32) throws(Errno) -> PCIFunction {
        guard case .device(let function)? = objects[id] else { throw Errno(ENOENT) }
        return function
    }

    /// main.c:iommufd_destroy: what anything else refers to is busy.
    func destroy(_ id: UInt32) throws(Errno) {
        switch objects[id] {
        case nil: throw Errno(ENOENT)
        case .ioas(let ioas)? where ioas.domains == 0:
            if compatible === ioas { compatible = nil }
            remove(id)
        case .hwpt(let table)? where table.users == 0: remove(table)
        default: throw Errno(EBUSY)
        }
    }

    // MARK: Page tables

    /// hw_pagetable.c:iommufd_hwpt_paging_alloc
    func makeTable(_ ioas: IOAS, isAutomatic: Bool, _ kernel: SimKernel) throws(Errno) -> HWPT {
        let table = HWPT(ioas, isAutomatic: isAutomatic)
        try ioas.add(table, kernel)
        table.id = add { _ in .hwpt(table) }
        return table
    }

    /// iommufd_hwpt_paging_destroy
    func remove(_ table: HWPT) {
        table.ioas.remove(table)
        remove(table.id)
    }

    /// device.c:iommufd_device_change_pt. A page table is made on the first attach to an IOAS and shared afterwards.
    func attach(_ function: PCIFunction, _ group: VFIOGroup, to id: UInt32, replacing old: HWPT?, _ kernel: SimKernel)
        throws(Errno) -> HWPT
    {
        switch objects[id] {
        case nil: throw Errno(ENOENT)
        case .device?: throw Errno(EINVAL)
        case .hwpt(let table)?: return try take(table, function, group, old)
        case .ioas(let ioas)?:
            // Siblings share one page table, so a group on another one refuses before anything is made.
            if let other = group.table(besides: function), other !== ioas.automatic { throw Errno(EINVAL) }
            if let table = ioas.automatic { return try take(table, function, group, old) }
            // iommufd_device_auto_get_domain: the first attach comes before the table is filled.
            if old == nil { try ioas.reserve(DomainLimits.interrupts, for: ObjectIdentifier(function)) }
            let table: HWPT
            do throws(Errno) {
                table = try makeTable(ioas, isAutomatic: true, kernel)
            } catch {
                if old == nil { ioas.giveBack(ObjectIdentifier(function)) }
                throw error
            }
            guard old != nil else {
                use(table, function)
                return table
            }
            do throws(Errno) {
                return try take(table, function, group, old)
            } catch {
                remove(table)
                throw error
            }
        }
    }

    /// iommufd_hw_pagetable_attach, iommufd_device_do_replace
    private func take(_ table: HWPT, _ function: PCIFunction, _ group: VFIOGroup, _ old: HWPT?) throws(Errno) -> HWPT {
        guard table !== old else { return table }
        if let other = group.table(besides: function), other !== table { throw Errno(EINVAL) }
        if old?.ioas !== table.ioas {
            try table.ioas.reserve(DomainLimits.interrupts, for: ObjectIdentifier(function))
        }
        use(table, function)
        if let old { release(old, function, keepsRanges: old.ioas === table.ioas) }
        return table
    }

    private func use(_ table: HWPT, _ function: PCIFunction) {
        table.users += 1
        function.space = table.ioas.space
    }

    /// device.c:iommufd_hw_pagetable_detach; a page table that an attach made goes with its last device.
    func detach(_ table: HWPT, _ function: PCIFunction) {
        function.space = nil
        release(table, function, keepsRanges: false)
    }

    private func release(_ table: HWPT, _ function: PCIFunction, keepsRanges: Bool) {
        if !keepsRanges { table.ioas.giveBack(ObjectIdentifier(function)) }
        table.users -= 1
        if table.users == 0, table.isAutomatic { remove(table) }
    }
}

/// An IOMMU page table (struct iommufd_hwpt_paging).
final class HWPT {
    let ioas: IOAS
    /// Made by an attach to its IOAS, not by IOMMU_HWPT_ALLOC.
    let isAutomatic: Bool
    var id: UInt32 = 0
    /// Devices that are attached to it.
    var users = 0

    init(_ ioas: IOAS, isAutomatic: Bool) {
        self.ioas = ioas
        self.isAutomatic = isAutomatic
    }
}

/// The IOVAs that VT-d translates: those below the end of the aperture, without the interrupt window.
enum DomainLimits {
    static let interrupts: ClosedRange<UInt64> = 0xfee0_0000...0xfeef_ffff

    /// What is above the aperture; nil where nothing is.
    static func beyond(_ bits: Int) -> ClosedRange<UInt64>? {
        bits >= 64 ? nil : 1 << UInt64(max(bits, 33))...UInt64.max
    }

    static func ranges(_ bits: Int) -> [iommu_iova_range] {
        let last = beyond(bits).map { $0.lowerBound - 1 } ?? .max
        return [
            iommu_iova_range(start: 0, last: interrupts.lowerBound - 1),
            iommu_iova_range(start: interrupts.upperBound + 1, last: last),
        ]
    }
}
