import CKernel
import Glibc

/// A guest's memory: one file, of which some ranges are mapped for the function, and what lies between them is not. What is
/// not mapped holds a secret, which neither changes nor appears elsewhere.
final class Memory {
    /// A range of the file, and the function's address of it.
    struct Range {
        let offset, size: Int
        let address: UInt64
        let flags: UInt32
        var isMapped = false
    }

    static let guardSize = 64 << 10
    static let chunk = 512 << 10
    static let size = 6 << 20
    /// Eight bytes that nothing else is made of.
    static let secret: UInt64 = 0x5ec4_e7a9_d1b3_8f61
    /// What the range to read holds.
    private static let readOnly: UInt64 = 0x3c3c_3c3c_3c3c_3c3c

    let file: Int32
    let base: UnsafeMutableRawBufferPointer
    /// Those that both read and write come first, the first of which has the queues and stays; then one to read, and one to
    /// write.
    private(set) var ranges: [Range] = []
    /// Whether what was not mapped had changed when it was to be mapped.
    private var wasChanged = false

    init() {
        file = Int32(sys_memfd_of_length(UInt64(Memory.size)))
        var start: UnsafeMutableRawPointer?
        guard sys_mmap(&start, Memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == 0, let address = start
        else {
            fatalError("no memory for a guest")
        }
        base = UnsafeMutableRawBufferPointer(start: address, count: Memory.size)
        var offset = Memory.guardSize
        for index in 0..<8 {
            let flags: UInt32 = index < 6 ? 3 : index == 6 ? 1 : 2
            ranges.append(
                Range(offset: offset, size: Memory.chunk, address: UInt64(0x10_0000 * (index + 1)), flags: flags))
            offset += Memory.chunk + Memory.guardSize
        }
        hide(0, Memory.size)
    }

    deinit {
        if let address = base.baseAddress { sys_munmap(address, base.count) }
        close(file)
    }

    private func hide(_ offset: Int, _ size: Int) {
        for place in stride(from: offset, to: offset + size, by: 8) {
            base.storeBytes(of: Memory.secret, toByteOffset: place, as: UInt64.self)
        }
    }

    /// Says that a range is mapped, and empties it first.
    func expose(_ index: Int) {
        let range = ranges[index]
        wasChanged = wasChanged || change(range.offset..<range.offset + range.size) != nil
        let bytes = UnsafeMutableRawBufferPointer(rebasing: base[range.offset..<range.offset + range.size])
        // What may only be written has a secret to be read.
        if range.flags & 1 != 0 {
            bytes.initializeMemory(as: UInt8.self, repeating: range.flags == 1 ? 0x3c : 0)
        }
        ranges[index].isMapped = true
    }

    /// Says that a range is mapped no more.
    func withdraw(_ index: Int) {
        ranges[index].isMapped = false
        hide(ranges[index].offset, ranges[index].size)
    }

    /// What is wrong with it; nil for nothing.
    func complaint() -> String? {
        if wasChanged { return "wrote what was unmapped" }
        var free = 0
        for range in ranges {
            if let place = change(free..<range.offset) { return "wrote outside of what is mapped, at \(place)" }
            free = range.offset + range.size
            if !range.isMapped {
                if let place = change(range.offset..<free) { return "wrote what was unmapped, at \(place)" }
            } else if range.flags == 1 {
                if change(range.offset..<free, from: Memory.readOnly) != nil { return "wrote what is read-only" }
            } else if range.flags == 3, reveals(UnsafeRawBufferPointer(rebasing: base[range.offset..<free])) {
                return "read outside of what is mapped"
            }
        }
        return change(free..<Memory.size).map { "wrote outside of what is mapped, at \($0)" }
    }

    private func change(_ part: Swift.Range<Int>, from value: UInt64 = Memory.secret) -> Int? {
        stride(from: part.lowerBound, to: part.upperBound, by: 8).first {
            base.load(fromByteOffset: $0, as: UInt64.self) != value
        }
    }

    /// Whether bytes have a secret among them, wherever it begins.
    func reveals(_ bytes: UnsafeRawBufferPointer) -> Bool {
        withUnsafeBytes(of: Memory.secret) { secret in
            guard var start = bytes.baseAddress, let wanted = secret.baseAddress, bytes.count >= 8 else { return false }
            let end = start + bytes.count - 7
            while start < end, let found = memchr(start, Int32(secret[0]), end - start) {
                if memcmp(found, wanted, 8) == 0 { return true }
                start = UnsafeRawPointer(found) + 1
            }
            return false
        }
    }

    // MARK: Access by the function's addresses

    /// Where bytes of a range are; nil for an address that is in none.
    func place(_ address: UInt64, _ count: Int) -> Int? {
        for range in ranges where address >= range.address && address - range.address <= UInt64(range.size - count) {
            return range.offset + Int(address - range.address)
        }
        return nil
    }

    func put(_ address: UInt64, _ bytes: [UInt8]) {
        guard let place = place(address, bytes.count) else { return }
        UnsafeMutableRawBufferPointer(rebasing: base[place..<place + bytes.count]).copyBytes(from: bytes)
    }

    func get(_ address: UInt64, _ count: Int) -> [UInt8] {
        guard let place = place(address, count) else { return [UInt8](repeating: 0, count: count) }
        return Array(base[place..<place + count])
    }
}

/// Bytes of numbers, the highest first.
func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

/// Bytes of numbers in this machine's order.
func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }
