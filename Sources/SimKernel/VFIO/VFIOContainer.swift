import CKernel
import Glibc
import Kernel

/// A type1 container: one address space for the groups in it. drivers/vfio/container.c, vfio_iommu_type1.c
final class VFIOContainer {
    let space = AddressSpace()
    private(set) var groups: [VFIOGroup] = []
    /// VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU once it is set.
    private(set) var type: UInt?
    /// Which pages were written since VFIO_IOMMU_DIRTY_PAGES said START; nil where it did not.
    var dirty: DirtyPages?

    var isReady: Bool { type != nil }

    func add(_ group: VFIOGroup) {
        groups.append(group)
        if isReady { connect(group, space) }
    }

    /// vfio_group_detach_container: the address space goes with the last group.
    func remove(_ group: VFIOGroup) {
        groups.removeAll { $0 === group }
        connect(group, nil)
        guard groups.isEmpty else { return }
        type = nil
        dirty = nil
        space.removeAll()
    }

    func start(_ type: UInt) {
        self.type = type
        for group in groups { connect(group, space) }
    }

    private func connect(_ group: VFIOGroup, _ space: AddressSpace?) {
        for device in group.devices { device.function.space = space }
    }
}

/// An open /dev/vfio/vfio.
final class VFIOContainerFile: OpenFile {
    let container = VFIOContainer()

    init(_ kernel: SimKernel, flags: Int32) { super.init(kernel, "/dev/vfio/vfio", flags: flags) }

    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        switch request {
        case VFIO_GET_API_VERSION: return 0
        case VFIO_CHECK_EXTENSION: return extensionLevel(user.value)
        case VFIO_SET_IOMMU: return try setIOMMU(user.value)
        default: break
        }
        // container.c:vfio_fops_unl_ioctl: the rest is the IOMMU driver's
        guard container.isReady else { throw Errno(EINVAL) }
        switch request {
        case VFIO_IOMMU_GET_INFO: return try information(user)
        case VFIO_IOMMU_MAP_DMA: return try map(user)
        case VFIO_IOMMU_UNMAP_DMA: return try unmap(user)
        case VFIO_IOMMU_DIRTY_PAGES: return try dirtyPages(user)
        default: throw Errno(ENOTTY)
        }
    }

    // vfio_iommu_type1_check_extension: type1, type1v2, unmap all; with a domain, coherent DMA and vaddr update
    private func extensionLevel(_ number: UInt) -> Int {
        switch Int(clamping: number) {
        case VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL: return 1
        case VFIO_DMA_CC_IOMMU: return container.isReady && kernel.topology.forcesSnooping ? 1 : 0
        case VFIO_UPDATE_VADDR: return container.isReady ? 1 : 0
        default: return 0
        }
    }

    // vfio_ioctl_set_iommu
    private func setIOMMU(_ type: UInt) throws(Errno) -> Int {
        guard !container.groups.isEmpty, !container.isReady else { throw Errno(EINVAL) }
        guard type == UInt(VFIO_TYPE1_IOMMU) || type == UInt(VFIO_TYPE1v2_IOMMU) else { throw Errno(ENODEV) }
        container.start(type)
        return 0
    }

    // vfio_iommu_type1_get_info, with the IOVA range and the DMA limit capability
    private func information(_ user: UserMemory) throws(Errno) -> Int {
        let minimum = offsetofend_vfio_iommu_type1_info_iova_pgsizes
        let argsz = try user.load(vfio_iommu_type1_info.self, count: minimum).argsz
        guard argsz >= UInt32(minimum) else { throw Errno(EINVAL) }
        let chain = capabilities
        let size = UInt32(MemoryLayout<vfio_iommu_type1_info>.size)
        let needed = size + 4 * UInt32(chain.count)
        var info = vfio_iommu_type1_info(
            argsz: argsz, flags: UInt32(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS),
            // 4 KiB, 2 MiB, 1 GiB
            iova_pgsizes: 1 << 12 | 1 << 21 | 1 << 30, cap_offset: 0, pad: 0)
        if argsz < needed {
            info.argsz = needed
        } else {
            info.cap_offset = size
            for (index, word) in chain.enumerated() { try user.store(word, at: UInt64(size) + 4 * UInt64(index)) }
        }
        try user.store(info, count: min(Int(argsz), MemoryLayout<vfio_iommu_type1_info>.size))
        return 0
    }

    /// vfio_iommu_migration_build_caps (dirty pages), vfio_iommu_dma_avail_build_caps, vfio_iommu_iova_build_caps
    private var capabilities: [UInt32] {
        let ranges = DomainLimits.ranges(kernel.topology.apertureBits)
        let first = UInt32(MemoryLayout<vfio_iommu_type1_info>.size)
        // Each: id and version 1, offset of the next, then its own words.
        func head(_ id: Int, next: UInt32) -> [UInt32] { [1 << 16 | UInt32(id), next] }
        let free = UInt32(truncatingIfNeeded: VFIOContainerFile.limit - mapped)
        // Flags, page sizes of the bitmap, its largest size in bytes.
        var words = head(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, next: first + 32) + [0, 0, 4096, 0, 1 << 28, 0]
        words += head(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, next: first + 48) + [free, 0]
        words += head(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, next: 0) + [UInt32(ranges.count), 0]
        for range in ranges {
            words += [range.start, range.last].flatMap {
                [UInt32(truncatingIfNeeded: $0), UInt32(truncatingIfNeeded: $0 >> 32)]
            }
        }
        return words
    }

    /// vfio_iommu_type1.c:dma_entry_limit
    private static let limit = 65535
    private var mapped: Int { min(container.space.areas.entries.count, VFIOContainerFile.limit) }

    // vfio_iommu_type1_map_dma, vfio_dma_do_map
    private func map(_ user: UserMemory) throws(Errno) -> Int {
        let map = try user.load(vfio_iommu_type1_dma_map.self)
        guard map.argsz >= UInt32(offsetofend_vfio_iommu_type1_dma_map_size) else { throw Errno(EINVAL) }
        let access = UInt32(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
        guard map.flags & ~(access | UInt32(VFIO_DMA_MAP_FLAG_VADDR)) == 0 else { throw Errno(EINVAL) }
        guard map.size != 0 else { throw Errno(EINVAL) }
        let (last, wraps) = map.iova.addingReportingOverflow(map.size - 1)
        guard !wraps else { throw Errno(EOVERFLOW) }
        guard !map.vaddr.addingReportingOverflow(map.size - 1).overflow else { throw Errno(EOVERFLOW) }
        let updates = map.flags & UInt32(VFIO_DMA_MAP_FLAG_VADDR) != 0
        guard updates == (map.flags & access == 0) else { throw Errno(EINVAL) }
        guard (map.size | map.iova | map.vaddr).isPageAligned else { throw Errno(EINVAL) }
        let isMapped = container.space.areas.overlaps(map.iova, last)
        // Unmapping by VADDR is not modelled, so no mapping waits for a new address.
        guard !updates else { throw Errno(isMapped ? EINVAL : ENOENT) }
        guard !isMapped else { throw Errno(EEXIST) }
        guard mapped < VFIOContainerFile.limit else { throw Errno(ENOSPC) }
        let ranges = DomainLimits.ranges(kernel.topology.apertureBits)
        guard ranges.contains(where: { $0.start <= map.iova && last <= $0.last }) else { throw Errno(EINVAL) }
        let writeable = map.flags & UInt32(VFIO_DMA_MAP_FLAG_WRITE) != 0
        // vaddr_get_pfns: a device's mapping is followed to its BAR, other memory is pinned.
        let source: Pages.Source
        var pinned: PinnedPages?
        if let bar = kernel.barAddress(map.vaddr), let entry = kernel.mappings.find(map.vaddr),
            map.vaddr + (map.size - 1) <= entry.last
        {
            // follow_fault_pfn
            guard !bar.device.isDark else { throw Errno(EFAULT) }
            source = .bar(bar)
        } else {
            guard ProcessMemory.isAccessible(map.vaddr, map.size, write: writeable) else { throw Errno(EFAULT) }
            source = .user(map.vaddr)
            pinned = try PinnedPages(map.vaddr, map.size, kernel.pins, as: .process)
        }
        let area = Area(
            pages: Pages(source, writeable: writeable), offset: 0,
            readable: map.flags & UInt32(VFIO_DMA_MAP_FLAG_READ) != 0, writeable: writeable, pinned: pinned)
        container.space.insert(map.iova, map.size, area)
        return 0
    }

    // vfio_iommu_type1_unmap_dma, vfio_dma_do_unmap
    private func unmap(_ user: UserMemory) throws(Errno) -> Int {
        var unmap = try user.load(vfio_iommu_type1_dma_unmap.self)
        let minimum = UInt32(offsetofend_vfio_iommu_type1_dma_unmap_size)
        guard unmap.argsz >= minimum else { throw Errno(EINVAL) }
        let bitmap = UInt32(VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
        let all = UInt32(VFIO_DMA_UNMAP_FLAG_ALL)
        let vaddr = UInt32(VFIO_DMA_UNMAP_FLAG_VADDR)
        guard unmap.flags & ~(bitmap | all | vaddr) == 0 else { throw Errno(EINVAL) }
        // struct vfio_bitmap, 24 bytes, follows.
        let hasRoom = unmap.argsz >= minimum + 24
        guard unmap.flags & bitmap == 0 || hasRoom && unmap.flags & (all | vaddr) == 0 else { throw Errno(EINVAL) }
        guard unmap.flags & (bitmap | vaddr) == 0 else {
            throw kernel.notModelled("VFIO_IOMMU_UNMAP_DMA with dirty bitmap or vaddr", EOPNOTSUPP)
        }
        var indices = container.space.areas.entries.indices
        if unmap.flags & all != 0 {
            guard unmap.iova == 0 else { throw Errno(EINVAL) }
            guard unmap.size == 0 else { throw Errno(EINVAL) }
        } else {
            guard unmap.size != 0 else { throw Errno(EINVAL) }
            guard (unmap.iova | unmap.size).isPageAligned else { throw Errno(EINVAL) }
            let (last, wraps) = unmap.iova.addingReportingOverflow(unmap.size - 1)
            guard !wraps else { throw Errno(EOVERFLOW) }
            indices = try unmapped(unmap.iova, last)
        }
        unmap.size = container.space.areas.entries[indices].reduce(0) { $0 &+ ($1.last - $1.first &+ 1) }
        for entry in container.space.areas.entries[indices] { container.dirty?.forget(entry.first) }
        container.space.remove(indices)
        try user.store(unmap)
        return 0
    }

    /// The mappings to remove. v2 refuses a range that cuts one (EINVAL); v1 removes none if the first starts before it.
    private func unmapped(_ first: UInt64, _ last: UInt64) throws(Errno) -> Range<Int> {
        let entries = container.space.areas.entries
        let indices = container.space.areas.overlapping(first, last)
        guard let start = indices.first, let end = indices.last else { return indices }
        if container.type == UInt(VFIO_TYPE1v2_IOMMU) {
            guard entries[start].first >= first, entries[end].last <= last else { throw Errno(EINVAL) }
            return indices
        }
        return entries[start].first < first ? indices.lowerBound..<indices.lowerBound : indices
    }
}
