/// MEMIC: memory of the device's own, in BAR 0 behind the doorbells. The driver allocates pieces of it, maps them for its
/// users, and makes memory keys of them.
final class DeviceMemory {
    /// Where it begins in BAR 0, and bytes of it; the driver thinks of both in pages.
    static let start = 0x1f0_0000
    static let size = 256 << 10
    /// The unit of allocations, bytes: MLX5_MEMIC_BASE_SIZE.
    static let unit = 64

    private let bytes: UnsafeMutableRawBufferPointer
    /// What is allocated, in the order of where it begins in BAR 0.
    private var pieces: [Range<Int>] = []

    init() {
        bytes = .allocate(byteCount: Self.size, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { bytes.deallocate() }

    /// Bytes at a place of BAR 0; nil where they are not all within.
    func bytes(at place: UInt64, _ count: Int) -> UnsafeMutableRawBufferPointer? {
        let offset = place &- UInt64(Self.start)
        guard offset <= UInt64(Self.size), count <= Self.size - Int(offset) else { return nil }
        return UnsafeMutableRawBufferPointer(rebasing: bytes[Int(offset)..<Int(offset) + count])
    }

    /// ALLOC_MEMIC: allocates zeroed memory within a range of BAR 0 and returns its offset. The alignment is a
    /// logarithm, in units.
    func allocate(_ size: Int, logAlignment: Int, in range: Range<Int>) throws(CommandFailure) -> Int {
        guard size > 0, size % Self.unit == 0 else {
            throw CommandFailure(.badParameter, "device memory has pieces of 64 bytes")
        }
        guard logAlignment <= Self.logMostAlignment else {
            throw CommandFailure(.badParameter, "log_memic_addr_alignment is too large")
        }
        guard range.lowerBound >= Self.start, range.upperBound <= Self.start + Self.size else {
            throw CommandFailure(.badParameter, "the range is not one of device memory")
        }
        let step = Self.unit << logAlignment
        var place = (range.lowerBound + step - 1) / step * step
        var index = 0
        // Looked at once each: a guest may have thousands of them.
        while index < pieces.count, pieces[index].lowerBound < place + size {
            if place < pieces[index].upperBound { place = (pieces[index].upperBound + step - 1) / step * step }
            index += 1
        }
        // The driver tries the next range then.
        guard place + size <= range.upperBound else {
            throw CommandFailure(.noResources, "no room in this range of device memory")
        }
        pieces.insert(place..<place + size, at: index)
        bytes(at: UInt64(place), size)?.initializeMemory(as: UInt8.self, repeating: 0)
        return place
    }

    /// DEALLOC_MEMIC
    func free(_ place: Int, _ size: Int) throws(CommandFailure) {
        guard let index = pieces.firstIndex(where: { $0.lowerBound == place && $0.count == size }) else {
            throw CommandFailure(.badResource, "no such piece of device memory")
        }
        pieces.remove(at: index)
    }

    /// Whether bytes of BAR 0 are one piece's.
    func isAllocated(_ place: UInt64, _ count: UInt64) -> Bool {
        pieces.contains {
            place >= UInt64($0.lowerBound) && place <= UInt64($0.upperBound) && count <= UInt64($0.upperBound) - place
        }
    }

    func removeAll() {
        pieces = []
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// log_max_memic_addr_alignment: a page.
    static let logMostAlignment = 6
}
