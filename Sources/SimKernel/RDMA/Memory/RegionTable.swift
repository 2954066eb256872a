import CKernel

/// Memory regions by the upper 24 bits of their keys, and the C structures that a program has of them, in the same order.
///
/// The structures are in blocks that are never freed, so that the key in one is read without a search, also in one whose
/// region is gone. `scripts/bench`: with a dictionary by structure instead, replacing any of a million takes 15 % longer.
final class RegionTable {
    private static let blockCount = 4096
    private var blocks: [UnsafeMutablePointer<ibv_mr>] = []
    /// By the upper 24 bits of the key; the first is never used.
    private var regions: [MemoryRegion?] = [nil]
    /// Places that no pool keeps keys of.
    private var free: [UInt32] = []

    deinit { for block in blocks { block.deallocate() } }

    /// A place for a key; nil where a device's max_mr is reached.
    func take() -> UInt32? {
        if let place = free.popLast() { return place }
        guard regions.count < 1 << 24 else { return nil }
        regions.append(nil)
        return UInt32(regions.count - 1)
    }

    func giveBack(_ place: UInt32) { free.append(place) }

    private func structure(_ place: Int) -> UnsafeMutablePointer<ibv_mr> {
        blocks[place / RegionTable.blockCount] + place % RegionTable.blockCount
    }

    /// Keeps a region at its key's place, and gives its structure, of zeros.
    func insert(_ region: MemoryRegion) -> UnsafeMutablePointer<ibv_mr> {
        let place = Int(region.key >> 8)
        while blocks.count * RegionTable.blockCount <= place {
            let block = UnsafeMutablePointer<ibv_mr>.allocate(capacity: RegionTable.blockCount)
            block.initialize(repeating: ibv_mr(), count: RegionTable.blockCount)
            blocks.append(block)
        }
        regions[place] = region
        return structure(place)
    }

    /// The region with just this key.
    subscript(_ key: UInt32) -> MemoryRegion? {
        let place = Int(key >> 8)
        guard place < regions.count, let region = regions[place], region.key == key else { return nil }
        return region
    }

    /// The region whose structure this is.
    subscript(_ mr: UnsafeMutablePointer<ibv_mr>) -> MemoryRegion? {
        guard let region = self[mr.pointee.lkey], structure(Int(region.key >> 8)) == mr else { return nil }
        return region
    }

    func remove(_ region: MemoryRegion) {
        let place = Int(region.key >> 8)
        structure(place).pointee = ibv_mr()
        regions[place] = nil
    }

    var all: [(mr: UnsafeMutablePointer<ibv_mr>, region: MemoryRegion)] {
        regions.enumerated().compactMap { place, region in region.map { (structure(place), $0) } }
    }
}
