import CKernel
import Glibc
import Kernel

/// An I/O address space. drivers/iommu/iommufd/io_pagetable.c
final class IOAS {
    let space = AddressSpace()
    /// The page table that the first attach made; nil while there is none.
    weak var automatic: HWPT?
    /// How many page tables it fills.
    private(set) var domains = 0
    /// Reserved ranges, each with the device or page table that reserved it.
    private var reserved: [(range: ClosedRange<UInt64>, owner: ObjectIdentifier)] = []
    /// Ranges of IOMMU_IOAS_ALLOW_IOVAS, in which addresses are chosen; empty where all may be used.
    private var allowed: [ClosedRange<UInt64>] = []
    /// Whether mappings of more than a page are avoided (disable_large_pages).
    private(set) var avoidsLargePages = false
    private let apertureBits: Int
    /// IOMMU_OPTION_RLIMIT_MODE of its context, which cannot change any more.
    private let countsByProcess: Bool

    init(apertureBits: Int, countsByProcess: Bool) {
        self.apertureBits = apertureBits
        self.countsByProcess = countsByProcess
    }

    /// io_pagetable.c:iopt_calculate_iova_alignment
    var alignment: UInt64 { domains == 0 && !avoidsLargePages ? 1 : 4096 }

    // MARK: Ranges

    /// The ranges between reserved ones.
    var ranges: [iommu_iova_range] {
        var ranges: [iommu_iova_range] = []
        var next: UInt64 = 0
        for range in reserved.map(\.range).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > next { ranges.append(iommu_iova_range(start: next, last: range.lowerBound - 1)) }
            guard range.upperBound < .max else { return ranges }
            next = max(next, range.upperBound + 1)
        }
        return ranges + [iommu_iova_range(start: next, last: .max)]
    }

    /// Where iopt_alloc_iova looks: of the allowed ranges, which count as one where they touch, what is not reserved.
    private var searched: [iommu_iova_range] {
        guard !allowed.isEmpty else { return ranges }
        var spans: [ClosedRange<UInt64>] = []
        for range in allowed {
            if let last = spans.last, last.upperBound + 1 == range.lowerBound {
                spans[spans.count - 1] = last.lowerBound...range.upperBound
            } else {
                spans.append(range)
            }
        }
        let free = ranges
        return spans.flatMap { span in
            free.filter { $0.start <= span.upperBound && span.lowerBound <= $0.last }.map {
                iommu_iova_range(start: max($0.start, span.lowerBound), last: min($0.last, span.upperBound))
            }
        }
    }

    /// iopt_reserve_iova
    func reserve(_ range: ClosedRange<UInt64>, for owner: ObjectIdentifier) throws(Errno) {
        guard !space.areas.overlaps(range.lowerBound, range.upperBound) else { throw Errno(EADDRINUSE) }
        guard !allowed.contains(where: range.overlaps) else { throw Errno(EADDRINUSE) }
        reserved.append((range, owner))
    }

    /// iopt_remove_reserved_iova
    func giveBack(_ owner: ObjectIdentifier) {
        reserved.removeAll { $0.owner == owner }
        space.forgetHoles()
    }

    /// iopt_set_allow_iova
    func allow(_ ranges: [ClosedRange<UInt64>]) throws(Errno) {
        guard !ranges.contains(where: { range in reserved.contains { $0.range.overlaps(range) } }) else {
            throw Errno(EADDRINUSE)
        }
        allowed = ranges.sorted { $0.lowerBound < $1.lowerBound }
        space.forgetHoles()
    }

    // MARK: Page tables

    /// iopt_table_add_domain
    func add(_ table: HWPT, _ kernel: SimKernel) throws(Errno) {
        if alignment != 4096 { try checkAlignment() }
        if let beyond = DomainLimits.beyond(apertureBits) { try reserve(beyond, for: ObjectIdentifier(table)) }
        // iopt_fill_domain: with another page table the pages are pinned already.
        if domains == 0 {
            do throws(Errno) {
                space.keep(
                    try space.areas.entries.map { (entry) throws(Errno) in
                        try fill(entry.value, entry.last - entry.first + 1, kernel)
                    })
            } catch {
                giveBack(ObjectIdentifier(table))
                throw error
            }
        }
        domains += 1
        if table.isAutomatic { automatic = table }
    }

    /// iopt_table_remove_domain
    func remove(_ table: HWPT) {
        domains -= 1
        // iopt_unfill_domain
        if domains == 0 { space.keep(space.areas.entries.map { _ in nil }) }
        if automatic === table { automatic = nil }
        giveBack(ObjectIdentifier(table))
    }

    /// iopt_check_iova_alignment
    private func checkAlignment() throws(Errno) {
        for entry in space.areas.entries {
            guard (entry.first | (entry.last &+ 1) | entry.value.start).isPageAligned else { throw Errno(EADDRINUSE) }
        }
    }

    /// iopt_disable_large_pages, iopt_enable_large_pages
    func avoidLargePages(_ avoids: Bool) throws(Errno) {
        guard avoids, !avoidsLargePages else {
            avoidsLargePages = avoids
            return
        }
        guard domains == 0 || space.areas.entries.isEmpty else { throw Errno(EINVAL) }
        if alignment != 4096 { try checkAlignment() }
        avoidsLargePages = true
    }

    /// pages.c:pfn_reader_user_pin. A device's pages are never pinned, so a BAR's mapping is refused.
    /// - Returns: what pins the area's pages; nil where they are not of user memory.
    private func fill(_ area: Area, _ length: UInt64, _ kernel: SimKernel) throws(Errno) -> PinnedPages? {
        if case .file(let file, let start) = area.pages.source {
            // mm/gup.c:memfd_pin_folios
            guard let file = file as? MemoryFile, start &+ area.offset &+ length <= file.length else {
                throw Errno(EINVAL)
            }
        }
        guard case .user(let base) = area.pages.source else { return nil }
        let address = base &+ area.offset
        guard !kernel.hasDevicePages(address, address &+ (length - 1)),
            ProcessMemory.isAccessible(address, length, write: area.pages.isWriteable)
        else { throw Errno(EFAULT) }
        return try PinnedPages(
            address, length, kernel.pins, as: countsByProcess ? .process : .user, of: area.pages)
    }

    // MARK: Mapping

    /// io_pagetable.c:iopt_alloc_area_pages: checks a fixed IOVA, or finds a free one.
    func chooseIOVA(_ iova: UInt64, _ length: UInt64, fixed: Bool, start: UInt64) throws(Errno) -> UInt64 {
        guard length % alignment == 0 else { throw Errno(EINVAL) }
        guard !fixed || iova % alignment == 0 else { throw Errno(EINVAL) }
        guard fixed else {
            return try space.allocate(length, start: start, alignment: alignment, ranges: searched)
        }
        // iopt_check_iova
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        guard !reserved.contains(where: { $0.range.overlaps(iova...last) }) else { throw Errno(EINVAL) }
        guard !space.areas.overlaps(iova, last) else { throw Errno(EEXIST) }
        return iova
    }

    /// iopt_map_common
    func map(_ pages: Pages, start: UInt64, iova: UInt64, length: UInt64, flags: UInt32, _ kernel: SimKernel)
        throws(Errno) -> UInt64
    {
        var area = Area(
            pages: pages, offset: start, readable: flags & UInt32(IOMMU_IOAS_MAP_READABLE) != 0,
            writeable: flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
        let chosen = try chooseIOVA(
            iova, length, fixed: flags & UInt32(IOMMU_IOAS_MAP_FIXED_IOVA) != 0, start: area.start)
        // iopt_insert_area: the bytes must start where a page of the domain does.
        guard area.start & 4095 & (alignment - 1) == 0 else { throw Errno(EINVAL) }
        if domains > 0 { area.pinned = try fill(area, length, kernel) }
        space.insert(chosen, length, area)
        return chosen
    }

    /// iopt_map_user_pages; `flags` as IOMMU_IOAS_MAP has them
    func mapUser(_ address: UInt64, iova: UInt64, length: UInt64, flags: UInt32, _ kernel: SimKernel) throws(Errno)
        -> UInt64
    {
        guard length != 0 else { throw Errno(EINVAL) }
        guard !address.addingReportingOverflow(length).overflow else { throw Errno(EOVERFLOW) }
        let pages = Pages(.user(address), writeable: flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
        return try map(pages, start: 0, iova: iova, length: length, flags: flags, kernel)
    }
}

/// COPY and UNMAP.
extension IOAS {
    /// A piece of an area, as COPY takes it.
    struct Part {
        let area: Area
        let offset: UInt64
        let length: UInt64
    }

    /// io_pagetable.c:iopt_get_pages: the source must be mapped without a hole.
    func parts(_ iova: UInt64, _ length: UInt64) throws(Errno) -> [Part] {
        guard length != 0 else { throw Errno(EINVAL) }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        var parts: [Part] = []
        var next = iova
        for index in space.areas.overlapping(iova, last) {
            let entry = space.areas.entries[index]
            guard entry.first <= next else { throw Errno(ENOENT) }
            let end = min(entry.last, last)
            parts.append(
                Part(area: entry.value, offset: entry.value.offset + (next - entry.first), length: end - next + 1))
            if end == last { return parts }
            next = end + 1
        }
        throw Errno(ENOENT)
    }

    /// io_pagetable.c:iopt_map_pages
    func map(_ parts: [Part], _ command: iommu_ioas_copy, _ kernel: SimKernel) throws(Errno) -> UInt64 {
        let writeable = command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0
        var areas = parts.map {
            Area(
                pages: $0.area.pages, offset: $0.offset,
                readable: command.flags & UInt32(IOMMU_IOAS_MAP_READABLE) != 0, writeable: writeable)
        }
        let start = areas.first?.start ?? 0
        let iova = try chooseIOVA(
            command.dst_iova, command.length, fixed: command.flags & UInt32(IOMMU_IOAS_MAP_FIXED_IOVA) != 0,
            start: start)
        guard start & 4095 & (alignment - 1) == 0 else { throw Errno(EINVAL) }
        guard !writeable || parts.allSatisfy({ $0.area.pages.isWriteable }) else { throw Errno(EPERM) }
        if domains > 0 {
            for (index, part) in parts.enumerated() {
                // pages.c:iopt_pages_fill_from_domain, iopt_pages_fill: pages that are pinned once are not looked up again.
                areas[index].pinned =
                    if let pinned = part.area.pinned { pinned } else { try fill(areas[index], part.length, kernel) }
            }
        }
        var next = iova
        for (area, part) in zip(areas, parts) {
            space.insert(next, part.length, area)
            next &+= part.length
        }
        return iova
    }

    /// Unmaps area by area, up to one that lies only partly in the range: returns the bytes unmapped, and ENOENT for that
    /// one. io_pagetable.c:iopt_unmap_iova
    func unmap(_ iova: UInt64, _ length: UInt64) throws(Errno) -> (length: UInt64, failure: Errno?) {
        guard length != 0 else { throw Errno(EINVAL) }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        var total: UInt64 = 0
        while let index = space.areas.overlapping(iova, last).first {
            let entry = space.areas.entries[index]
            guard entry.first >= iova, entry.last <= last else { return (total, Errno(ENOENT)) }
            total &+= entry.last - entry.first &+ 1
            space.remove(index..<(index + 1))
        }
        return (total, nil)
    }

    /// io_pagetable.c:iopt_unmap_all
    func unmapAll() -> UInt64 {
        defer { space.removeAll() }
        return space.areas.entries.reduce(0) { $0 &+ ($1.last - $1.first &+ 1) }
    }
}
