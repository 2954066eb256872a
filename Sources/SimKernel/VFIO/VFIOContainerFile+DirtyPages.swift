import CKernel
import Glibc
import Kernel

/// The bitmaps of a container's mappings (struct vfio_dma, bitmap), by their first address.
struct DirtyPages {
    private var bitmaps: [UInt64: [UInt64]] = [:]

    /// vfio_remove_dma
    mutating func forget(_ iova: UInt64) { bitmaps[iova] = nil }

    /// update_user_bitmap: tells of a mapping at `address`, `shift` bits up. No IOMMU domain of type1 knows what was written, so
    /// each page counts. The bitmap itself is moved, and all of the word found at `address` comes into it; no more bits are
    /// cleared afterwards than there are pages. What lies above them is found there, and told, the next time.
    mutating func tell(_ entry: IntervalMap<Area>.Entry, shift: Int, at address: UInt64) throws(Errno) {
        let pages = Int((entry.last - entry.first) / 4096) + 1
        // vfio_dma_bitmap_alloc: a word more, for the shift
        var bitmap = bitmaps[entry.first] ?? [UInt64](repeating: 0, count: (pages + 63) / 64 + 1)
        defer { bitmaps[entry.first] = bitmap }
        bitmap.set(pages, to: true)
        let count = (pages + shift + 63) / 64
        if shift > 0 {
            // __bitmap_shift_left, __bitmap_or: whole words
            for index in (0..<count).reversed() {
                let lower = index > 0 ? bitmap[index - 1] >> UInt64(64 - shift) : 0
                bitmap[index] = bitmap[index] << UInt64(shift) | lower
            }
            var before: UInt64 = 0
            guard sys_copy_from_address(&before, address, 8) == 0 else { throw Errno(EFAULT) }
            bitmap[0] |= before
        }
        for index in 0..<count { try ProcessMemory.store(bitmap[index], at: address + UInt64(8 * index)) }
        // vfio_iova_dirty_bitmap
        bitmap.set(pages, to: false)
    }
}

extension [UInt64] {
    /// The first `count` bits.
    fileprivate mutating func set(_ count: Int, to isSet: Bool) {
        for index in 0..<(count / 64) { self[index] = isSet ? .max : 0 }
        let rest = (1 as UInt64) << UInt64(count % 64) - 1
        guard rest != 0 else { return }
        if isSet { self[count / 64] |= rest } else { self[count / 64] &= ~rest }
    }
}

extension VFIOContainerFile {
    // vfio_iommu_type1_dirty_pages
    func dirtyPages(_ user: UserMemory) throws(Errno) -> Int {
        guard container.type == UInt(VFIO_TYPE1v2_IOMMU) else { throw Errno(EACCES) }
        let dirty = try user.load(vfio_iommu_type1_dirty_bitmap.self)
        let minimum = UInt32(MemoryLayout<vfio_iommu_type1_dirty_bitmap>.size)
        guard dirty.argsz >= minimum else { throw Errno(EINVAL) }
        // One flag, and one that is known.
        switch Int(dirty.flags) {
        case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
            if container.dirty == nil { container.dirty = DirtyPages() }
        case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP: container.dirty = nil
        case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: try dirtyBitmap(user, room: dirty.argsz - minimum)
        default: throw Errno(EINVAL)
        }
        return 0
    }

    private func dirtyBitmap(_ user: UserMemory, room: UInt32) throws(Errno) {
        guard room >= UInt32(MemoryLayout<vfio_iommu_type1_dirty_bitmap_get>.size) else { throw Errno(EINVAL) }
        let start = UInt64(MemoryLayout<vfio_iommu_type1_dirty_bitmap>.size)
        let range = try user.load(vfio_iommu_type1_dirty_bitmap_get.self, at: start)
        guard range.size != 0 else { throw Errno(EINVAL) }
        let (last, wraps) = range.iova.addingReportingOverflow(range.size - 1)
        guard !wraps else { throw Errno(EOVERFLOW) }
        // access_ok
        let (end, overflow) = range.bitmap.data.addingReportingOverflow(range.bitmap.size)
        guard !overflow, end < 1 << 47 else { throw Errno(EINVAL) }
        // verify_bitmap_size
        let pages = range.size >> UInt64(range.bitmap.pgsize.trailingZeroBitCount & 63)
        guard pages != 0, range.bitmap.size != 0, range.bitmap.size <= 1 << 28 else { throw Errno(EINVAL) }
        guard pages <= 1 << 31, range.bitmap.size >= (pages + 63) / 64 * 8 else { throw Errno(EINVAL) }
        guard range.bitmap.pgsize == 4096 else { throw Errno(EINVAL) }
        guard range.iova.isPageAligned else { throw Errno(EINVAL) }
        guard range.size.isPageAligned else { throw Errno(EINVAL) }
        guard container.dirty != nil else { throw Errno(EINVAL) }
        try copyBitmap(range, last)
    }

    // vfio_iova_dirty_bitmap
    private func copyBitmap(_ range: vfio_iommu_type1_dirty_bitmap_get, _ last: UInt64) throws(Errno) {
        let areas = container.space.areas
        let entries = areas.entries[areas.overlapping(range.iova, last)]
        if let first = entries.first, first.first < range.iova { throw Errno(EINVAL) }
        if let final = entries.last, final.last > last { throw Errno(EINVAL) }
        for entry in entries {
            let page = (entry.first - range.iova) / 4096
            try container.dirty?.tell(entry, shift: Int(page % 64), at: range.bitmap.data + page / 64 * 8)
        }
    }
}
