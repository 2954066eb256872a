import CKernel
import Glibc
public import Kernel

/// Reading, writing and mapping. See ``SystemCalls``.
extension SimKernel {
    /// See ``SystemCalls``.
    public func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        call { () throws(Errno) in
            let file = try file(descriptor)
            guard file.isReadable else { throw Errno(EBADF) }
            let count = try file.read(buffer, at: file.position)
            file.position += UInt64(count)
            return count
        }
    }

    /// See ``SystemCalls``.
    public func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        call { () throws(Errno) in
            let file = try file(descriptor)
            guard file.isWritable else { throw Errno(EBADF) }
            let count = try file.write(buffer, at: file.position)
            file.position += UInt64(count)
            return count
        }
    }

    /// See ``SystemCalls``.
    public func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        call { () throws(Errno) in
            // fs/read_write.c:ksys_pread64
            guard offset <= UInt64(Int64.max) else { throw Errno(EINVAL) }
            let file = try file(descriptor)
            guard file.isPositional else { throw Errno(ESPIPE) }
            guard file.isReadable else { throw Errno(EBADF) }
            return try file.read(buffer, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        call { () throws(Errno) in
            guard offset <= UInt64(Int64.max) else { throw Errno(EINVAL) }
            let file = try file(descriptor)
            guard file.isPositional else { throw Errno(ESPIPE) }
            guard file.isWritable else { throw Errno(EBADF) }
            return try file.write(buffer, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int {
        call { () throws(Errno) in try file(descriptor).seek(offset, whence) }
    }

    /// See ``SystemCalls``.
    public func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        pass(1000)
        // Nobody runs what lies there, and a confined process may map no code.
        let protection = protection & ~PROT_EXEC
        // mm/mmap.c:ksys_mmap_pgoff, do_mmap
        guard offset.isPageAligned else { throw Errno(EINVAL) }
        let file = flags & MAP_ANONYMOUS == 0 ? try file(descriptor) : nil
        guard length != 0 else { throw Errno(EINVAL) }
        guard length > 0, length < 1 << 47 else { throw Errno(ENOMEM) }
        guard flags & MAP_FIXED == 0 else { throw notModelled("mmap with MAP_FIXED", EOPNOTSUPP) }
        let base: UnsafeMutableRawPointer
        let mapping: UserMapping
        if let file {
            guard file.isReadable, file.isWritable || protection & PROT_WRITE == 0 else { throw Errno(EACCES) }
            let (address, bar) = try file.map(
                length: length, protection: protection, flags: flags, at: offset)
            base = address
            mapping = UserMapping(name: " of \(file.title)", bar: bar, file: file, protection: protection)
            file.hold()
        } else {
            base = try anonymous(length, protection, flags)
            mapping = UserMapping(name: "", bar: nil, file: nil, protection: protection)
        }
        let first = UInt64(UInt(bitPattern: base))
        mappings.insert(first, first + UInt64(length).wholePages - 1, mapping)
        if let device = mapping.bar?.device, device.isDark { refreshMappings(of: device) }
        return base
    }

    private func anonymous(_ length: Int, _ protection: Int32, _ flags: Int32) throws(Errno)
        -> UnsafeMutableRawPointer
    {
        var address: UnsafeMutableRawPointer?
        // MAP_HUGETLB and the size above it: this kernel has set huge pages aside, whatever the machine has.
        let ordinary = flags & ~(0x40000 | 0x3f << 26)
        let result = sys_mmap(&address, length, protection, ordinary, -1, 0)
        guard result == 0, let address else { throw Errno(result: result) ?? Errno(ENOMEM) }
        return address
    }

    /// See ``SystemCalls``. Memory that this kernel did not map is left alone.
    public func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int {
        call { () throws(Errno) in
            let first = UInt64(UInt(bitPattern: address))
            guard first.isPageAligned else { throw Errno(EINVAL) }
            guard first < 1 << 47 else { throw Errno(EINVAL) }
            guard length > 0 else { throw Errno(EINVAL) }
            guard length < 1 << 47 else { throw Errno(EINVAL) }
            let last = first + UInt64(length).wholePages - 1
            let indices = mappings.overlapping(first, last)
            guard let start = indices.first, let end = indices.last,
                zip(indices, indices.dropFirst()).allSatisfy({
                    mappings.entries[$0].last + 1 == mappings.entries[$1].first
                }), mappings.entries[start].first <= first, mappings.entries[end].last >= last
            else { throw notModelled("munmap of memory that this kernel did not map", EOPNOTSUPP) }
            let files = mappings.entries[indices].map(\.value.file)
            var taken: [ClosedRange<UInt64>] = []
            for entry in mappings.entries[indices] {
                taken += try pins.take(max(entry.first, first), min(entry.last, last))
            }
            cut(first, last, mappings.entries[start], mappings.entries[end], indices)
            let result = unmap(first, last, without: taken)
            for file in files { file?.release() }
            return result
        }
    }

    /// Unmaps the pages of [first, last] outside of `taken`, which is in order and unmapped already: something else may be
    /// there by now.
    private func unmap(_ first: UInt64, _ last: UInt64, without taken: [ClosedRange<UInt64>]) -> Int {
        var next = first
        for range in taken + [(last + 1)...(last + 1)] {
            if range.lowerBound > next, let address = UnsafeMutableRawPointer(bitPattern: UInt(next)) {
                let result = sys_munmap(address, Int(range.lowerBound - next))
                guard result == 0 else { return result }
            }
            next = range.upperBound + 1
        }
        return 0
    }

    /// Forgets [first, last] and keeps what is left of the mappings at its ends.
    private func cut(
        _ first: UInt64, _ last: UInt64, _ left: IntervalMap<UserMapping>.Entry,
        _ right: IntervalMap<UserMapping>.Entry, _ indices: Range<Int>
    ) {
        mappings.remove(indices)
        if left.first < first {
            left.value.file?.hold()
            mappings.insert(left.first, first - 1, left.value)
        }
        guard right.last > last else { return }
        var rest = right.value
        rest.bar = rest.bar.map {
            BARAddress(device: $0.device, index: $0.index, offset: $0.offset + (last + 1 - right.first))
        }
        rest.file?.hold()
        mappings.insert(last + 1, right.last, rest)
    }

    /// drivers/vfio/pci/vfio_pci_core.c:vfio_pci_mmap_huge_fault: a mapping of a device whose memory is away gives
    /// SIGBUS, until it is back. Pages of an empty file do so too.
    func refreshMappings(of device: VFIODevice) {
        for entry in mappings.entries {
            guard let target = entry.value.bar, target.device === device, let bar = device.function.bar(target.index),
                let memory = try? device.function.memory(bar),
                let address = UnsafeMutableRawPointer(bitPattern: UInt(entry.first))
            else { continue }
            let length = Int(entry.last - entry.first + 1)
            let result = memory.show(
                !device.isDark, at: address, length: length, protection: entry.value.protection, from: target.offset)
            if result != 0 { _ = notModelled("a mapping that could not be changed", ENOMEM) }
        }
    }

    /// The BAR behind a user address, where a device's mapping is there.
    func barAddress(_ address: UInt64) -> BARAddress? {
        guard let entry = mappings.find(address), let start = entry.value.bar else { return nil }
        return BARAddress(device: start.device, index: start.index, offset: start.offset + (address - entry.first))
    }

    /// Whether any page of [first, last] is a device's: pin_user_pages refuses those.
    func hasDevicePages(_ first: UInt64, _ last: UInt64) -> Bool {
        mappings.overlapping(first, last).contains { mappings.entries[$0].value.bar != nil }
    }

    /// See ``SystemCalls``.
    public func readlink(_ path: String) throws(Errno) -> String {
        pass(1000)
        if let text = try processLink(path) { return text }
        guard case .link(let target) = try node(path, follow: false) else { throw Errno(EINVAL) }
        return target
    }

    /// See ``SystemCalls``.
    public func list(_ path: String) throws(Errno) -> [String] {
        pass(1000)
        try checkRights(path)
        guard case .directory(let directory) = try root.find(path) else { throw Errno(ENOTDIR) }
        return directory.entries.keys.sorted()
    }
}
