import CKernel

/// Memory regions by the upper 24 bits of their keys, each behind the C structure that a program has of it. One cache
/// line holds both, in blocks that stay where they are.
final class RegionTable {
    private static let stride = 64
    private static let blockCount = 4096
    private static let modelOffset = MemoryLayout<ibv_mr>.stride
    private var blocks: [UnsafeMutableRawPointer] = []
    /// Places given out so far; the first is never used.
    private var used = 1
    /// Places that no pool keeps keys of.
    private var free: [UInt32] = []

    deinit {
        for (_, region) in all { Unmanaged.passUnretained(region).release() }
        for block in blocks { block.deallocate() }
    }

    /// A place for a key; nil where a device's max_mr is reached.
    func take() -> UInt32? {
        if let place = free.popLast() { return place }
        guard used < 1 << 24 else { return nil }
        used += 1
        return UInt32(used - 1)
    }

    func giveBack(_ place: UInt32) { free.append(place) }

    private func entry(_ place: Int) -> UnsafeMutableRawPointer {
        blocks[place / RegionTable.blockCount] + place % RegionTable.blockCount * RegionTable.stride
    }

    private func addBlock() {
        let size = RegionTable.blockCount * RegionTable.stride
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: RegionTable.stride)
        block.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        blocks.append(block)
    }

    /// Keeps a region at its key's place, and gives its structure, of zeros.
    func insert(_ region: MemoryRegion) -> UnsafeMutablePointer<ibv_mr> {
        let place = Int(region.key >> 8)
        while blocks.count * RegionTable.blockCount <= place { addBlock() }
        let entry = entry(place)
        entry.storeBytes(
            of: Unmanaged.passRetained(region).toOpaque(), toByteOffset: RegionTable.modelOffset,
            as: UnsafeMutableRawPointer?.self)
        return entry.assumingMemoryBound(to: ibv_mr.self)
    }

    /// The region with just this key.
    subscript(_ key: UInt32) -> MemoryRegion? {
        guard key >> 8 < used, Int(key >> 8) < blocks.count * RegionTable.blockCount,
            let region = region(at: entry(Int(key >> 8))), region.key == key
        else { return nil }
        return region
    }

    private func region(at entry: UnsafeMutableRawPointer) -> MemoryRegion? {
        entry.load(fromByteOffset: RegionTable.modelOffset, as: UnsafeMutableRawPointer?.self)
            .map { Unmanaged<MemoryRegion>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The region whose structure this is.
    subscript(_ mr: UnsafeMutablePointer<ibv_mr>) -> MemoryRegion? {
        guard let region = self[mr.pointee.lkey], entry(Int(region.key >> 8)) == UnsafeMutableRawPointer(mr) else {
            return nil
        }
        return region
    }

    func remove(_ region: MemoryRegion) {
        let entry = entry(Int(region.key >> 8))
        entry.initializeMemory(as: UInt8.self, repeating: 0, count: RegionTable.stride)
        Unmanaged.passUnretained(region).release()
    }

    var all: [(mr: UnsafeMutablePointer<ibv_mr>, region: MemoryRegion)] {
        (0..<min(used, blocks.count * RegionTable.blockCount)).compactMap { place in
            let entry = entry(place)
            return region(at: entry).map { (entry.assumingMemoryBound(to: ibv_mr.self), $0) }
        }
    }
}
