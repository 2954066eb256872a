import CKernel
import Glibc
import Kernel

/// An iommufd context: the objects behind one open of /dev/iommu. Bound devices keep it alive.
/// drivers/iommu/iommufd/main.c
final class IOMMUFD {
    enum Object {
        case ioas(IOAS)
        case hwpt(HWPT)
        case device
    }
    private(set) var objects: [UInt32: Object] = [:]
    private var numbers = LowestFree(from: 1)

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

    /// main.c:iommufd_destroy
    func destroy(_ id: UInt32) throws(Errno) {
        switch objects[id] {
        case nil: throw Errno(ENOENT)
        case .ioas(let ioas)? where ioas.table == nil: remove(id)
        default: throw Errno(EBUSY)
        }
    }

    /// device.c:iommufd_device_do_attach. A page table is made on the first attach to an IOAS and shared afterwards.
    func attach(_ function: PCIFunction, _ group: VFIOGroup, to id: UInt32, replacing old: HWPT?, _ kernel: SimKernel)
        throws(Errno) -> HWPT
    {
        let table: HWPT
        switch objects[id] {
        case nil: throw Errno(ENOENT)
        case .device?: throw Errno(EINVAL)
        case .hwpt(let existing)?: table = existing
        case .ioas(let ioas)?:
            // Siblings share one page table, so a group on another one refuses before anything is made.
            if let other = group.table(besides: function), other !== ioas.table { throw Errno(EINVAL) }
            if let existing = ioas.table { table = existing } else { table = try makeTable(ioas, kernel) }
        }
        if let other = group.table(besides: function), other !== table { throw Errno(EINVAL) }
        table.users += 1
        if let old { detach(old) }
        function.space = table.ioas.space
        return table
    }

    private func makeTable(_ ioas: IOAS, _ kernel: SimKernel) throws(Errno) -> HWPT {
        try ioas.prepareDomain(kernel)
        let table = HWPT(ioas)
        table.id = add { _ in .hwpt(table) }
        ioas.table = table
        return table
    }

    /// device.c:iommufd_hw_pagetable_detach; a page table made by an attach goes with its last device
    func detach(_ table: HWPT) {
        table.users -= 1
        guard table.users == 0 else { return }
        table.ioas.table = nil
        table.ioas.space.forgetHoles()
        remove(table.id)
    }
}

/// An IOMMU page table (struct iommufd_hwpt_paging) that an attach made.
final class HWPT {
    let ioas: IOAS
    var id: UInt32 = 0
    var users = 0

    init(_ ioas: IOAS) { self.ioas = ioas }
}

/// An I/O address space. drivers/iommu/iommufd/io_pagetable.c
final class IOAS {
    let space = AddressSpace()
    /// The page table devices use it through; nil while none is attached.
    weak var table: HWPT?
    private let apertureBits: Int

    init(apertureBits: Int) { self.apertureBits = apertureBits }

    /// io_pagetable.c:iopt_calculate_iova_alignment
    var alignment: UInt64 { table == nil ? 1 : 4096 }

    /// What no reserved range covers: everything, until a device brings its interrupt window and its aperture.
    var ranges: [iommu_iova_range] {
        table == nil ? [iommu_iova_range(start: 0, last: .max)] : DomainLimits.ranges(apertureBits)
    }

    /// io_pagetable.c:iopt_table_enforce_dev_resv_regions, iopt_table_add_domain, pages.c:iopt_area_fill_domain
    func prepareDomain(_ kernel: SimKernel) throws(Errno) {
        let limits = DomainLimits.ranges(apertureBits)
        for entry in space.areas.entries {
            guard limits.contains(where: { $0.start <= entry.first && entry.last <= $0.last }) else {
                throw Errno(EADDRINUSE)
            }
            guard entry.first & 4095 == 0, (entry.last &+ 1) & 4095 == 0 else { throw Errno(EADDRINUSE) }
        }
        for entry in space.areas.entries { try fill(entry.value, entry.last - entry.first + 1, kernel) }
    }

    /// pages.c:pfn_reader_user_pin. A device's pages are never pinned, so a BAR's mapping is refused.
    func fill(_ area: Area, _ length: UInt64, _ kernel: SimKernel) throws(Errno) {
        if case .file(let file, let start) = area.pages.source {
            // mm/gup.c:memfd_pin_folios
            guard let file = file as? MemoryFile, start &+ area.offset &+ length <= file.length else {
                throw Errno(EINVAL)
            }
        }
        guard case .user(let base) = area.pages.source else { return }
        let address = base &+ area.offset
        guard !kernel.hasDevicePages(address, address &+ (length - 1)),
            ProcessMemory.isAccessible(address, length, write: area.pages.isWriteable)
        else { throw Errno(EFAULT) }
    }

    /// io_pagetable.c:iopt_alloc_area_pages: checks the place, or finds one.
    func place(_ iova: UInt64, _ length: UInt64, fixed: Bool, start: UInt64) throws(Errno) -> UInt64 {
        guard length % alignment == 0, !fixed || iova % alignment == 0 else { throw Errno(EINVAL) }
        guard fixed else {
            return try space.allocate(length, start: start, alignment: alignment, ranges: ranges)
        }
        // iopt_check_iova
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        guard ranges.contains(where: { $0.start <= iova && last <= $0.last }) else { throw Errno(EINVAL) }
        guard !space.areas.overlaps(iova, last) else { throw Errno(EEXIST) }
        return iova
    }

    func map(_ pages: Pages, start: UInt64, iova: UInt64, length: UInt64, flags: UInt32, _ kernel: SimKernel)
        throws(Errno) -> UInt64
    {
        let base: UInt64
        if case .user(let address) = pages.source { base = address &+ start } else { base = start }
        let place = try place(
            iova, length, fixed: flags & UInt32(IOMMU_IOAS_MAP_FIXED_IOVA) != 0, start: base)
        // iopt_insert_area: the bytes must start where a page of the domain does.
        guard base & 4095 & (alignment - 1) == 0 else { throw Errno(EINVAL) }
        let area = Area(
            pages: pages, offset: start, readable: flags & UInt32(IOMMU_IOAS_MAP_READABLE) != 0,
            writeable: flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
        if table != nil { try fill(area, length, kernel) }
        space.insert(place, length, area)
        return place
    }
}

/// What VT-d translates: everything below the aperture's end but the interrupt window.
enum DomainLimits {
    static func ranges(_ bits: Int) -> [iommu_iova_range] {
        let last = bits >= 64 ? UInt64.max : (1 << UInt64(max(bits, 33))) - 1
        return [iommu_iova_range(start: 0, last: 0xfedf_ffff), iommu_iova_range(start: 0xfef0_0000, last: last)]
    }
}
