import CKernel
import Glibc
import Kernel

/// The memory that a client lets its function reach: ranges of the function's addresses, with the files behind them.
struct GuestMemory {
    /// Addresses that were mapped by one request.
    struct Range {
        let first: UInt64
        /// The last address. One behind it would overflow for a range that reaches 2^64.
        let last: UInt64
        /// The address in this process of its first byte; nil where the range has no file, so that the client has to
        /// be asked for each access.
        let base: UnsafeMutableRawPointer?
        /// The offset in its file of its first byte, bytes.
        let offset: UInt64
        let isReadable: Bool
        let isWritable: Bool

        /// The address in this process of `address`; nil where the range has no file.
        func pointer(_ address: UInt64) -> UnsafeMutableRawPointer? { base.map { $0 + Int(address - first) } }
    }

    /// The most ranges and files that a client may map: a bound of what they cost this process.
    static let mostRanges = 65535
    private static let mostFiles = 256
    /// Files without a range that stay mapped. A guest that turns its IOMMU on unmaps everything and maps the same
    /// files again.
    private static let mostIdleFiles = 4
    private static let page: UInt64 = 4096

    private struct File {
        var mapping: MappedFile
        var users = 0
    }

    /// Sorted by address. `owners` has each range's file at the same index.
    private(set) var ranges: [Range] = []
    private var owners: [MappedFile.Identity?] = []
    private var files: [MappedFile.Identity: File] = [:]
    /// Mappings that became too small for their file, and are still used.
    private var outgrown: [MappedFile] = []
    private var hit = 0

    /// Adds a range of the function's addresses. The caller keeps the descriptor, if there is one, and may close it
    /// afterwards.
    mutating func map(
        _ address: UInt64, size: UInt64, isReadable: Bool, isWritable: Bool, descriptor: Int32 = -1, offset: UInt64 = 0
    ) throws(Errno) {
        let (last, overflow) = address.addingReportingOverflow(size &- 1)
        guard size > 0, !overflow, isReadable || isWritable, (address | size | offset) % GuestMemory.page == 0 else {
            throw Errno(EINVAL)
        }
        let index = firstIndex(endingAtOrAbove: address)
        guard index == ranges.count || ranges[index].first > last else { throw Errno(EEXIST) }
        guard ranges.count < GuestMemory.mostRanges else { throw Errno(ENOSPC) }
        let file = descriptor < 0 ? nil : try use(descriptor, until: offset.addingReportingOverflow(size))
        if isWritable, let file, !file.mapping.isWritable {
            release(file.identity)
            throw Errno(EACCES)
        }
        ranges.insert(
            Range(
                first: address, last: last, base: file.map { $0.mapping.base + Int(offset) }, offset: offset,
                isReadable: isReadable, isWritable: isWritable), at: index)
        owners.insert(file?.identity, at: index)
    }

    /// Removes the ranges within the addresses, and returns how many bytes they had: 0 is no error, as in VFIO.
    /// EINVAL where a range lies only partly within; nothing is removed then.
    mutating func unmap(_ address: UInt64, size: UInt64) throws(Errno) -> UInt64 {
        let (last, overflow) = address.addingReportingOverflow(size &- 1)
        guard size > 0, !overflow, (address | size) % GuestMemory.page == 0 else { throw Errno(EINVAL) }
        let start = firstIndex(endingAtOrAbove: address)
        var end = start
        while end < ranges.count, ranges[end].first <= last {
            guard ranges[end].first >= address, ranges[end].last <= last else { throw Errno(EINVAL) }
            end += 1
        }
        return remove(start..<end)
    }

    /// Removes all ranges, and returns how many bytes they had, modulo 2^64.
    mutating func unmapAll() -> UInt64 { remove(0..<ranges.count) }

    /// Forgets all, and closes every file.
    mutating func clear() { self = GuestMemory() }

    /// The range that has an address.
    @inline(__always)
    mutating func range(of address: UInt64) -> Range? {
        if hit < ranges.count {
            let range = ranges[hit]
            if range.first <= address, address <= range.last { return range }
        }
        let index = firstIndex(endingAtOrAbove: address)
        guard index < ranges.count, ranges[index].first <= address else { return nil }
        hit = index
        return ranges[index]
    }

    /// The file that an address is in, and where; nil where it is in none.
    mutating func place(of address: UInt64) -> FilePlace? {
        guard let range = range(of: address), let identity = owners[hit] else { return nil }
        return FilePlace(file: identity.file, offset: range.offset &+ (address - range.first))
    }

    private func firstIndex(endingAtOrAbove address: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func remove(_ indices: Swift.Range<Int>) -> UInt64 {
        var bytes: UInt64 = 0
        for index in indices {
            bytes &+= ranges[index].last - ranges[index].first &+ 1
            if let identity = owners[index] { release(identity) }
        }
        ranges.removeSubrange(indices)
        owners.removeSubrange(indices)
        if ranges.isEmpty { outgrown = [] }
        return bytes
    }

    // MARK: Files

    /// The mapped file of a descriptor; nil where it cannot be mapped, so that the client has to be asked for each
    /// access.
    private mutating func use(
        _ descriptor: Int32, until end: (partialValue: UInt64, overflow: Bool)
    ) throws(Errno) -> (identity: MappedFile.Identity, mapping: MappedFile)? {
        var description = mappable()
        let result = socket_mappable(descriptor, &description)
        if result == -Int(EMEDIUMTYPE) { return nil }
        if let error = Errno(result: result) { throw error }
        guard !end.overflow, end.partialValue <= description.size else { throw Errno(EINVAL) }
        let identity = MappedFile.Identity(description)
        if let known = files[identity], UInt64(known.mapping.size) >= end.partialValue {
            files[identity]?.users += 1
            return (identity, known.mapping)
        }
        guard files.count < GuestMemory.mostFiles, outgrown.count < GuestMemory.mostFiles else { throw Errno(ENOSPC) }
        let mapping = try MappedFile(descriptor, description)
        if let old = files[identity] { outgrown.append(old.mapping) }
        files[identity] = File(mapping: mapping, users: files[identity, default: File(mapping: mapping)].users + 1)
        return (identity, mapping)
    }

    private mutating func release(_ identity: MappedFile.Identity) {
        files[identity]?.users -= 1
        let idle = files.filter { $0.value.users <= 0 }
        guard idle.count > GuestMemory.mostIdleFiles, let one = idle.first(where: { $0.key != identity }) else {
            return
        }
        files[one.key] = nil
    }
}
