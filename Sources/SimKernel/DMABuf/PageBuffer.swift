import CKernel
import Glibc
import Kernel

/// A dma-buf of this machine's memory: pages of memfds (udmabuf), or of its own (a heap).
class PageBuffer: DMABuf {
    /// Pages of a file, one part after the other.
    struct Part {
        let file: MemoryFile
        let offset: UInt64
        let length: UInt64
    }
    let parts: [Part]

    init(_ kernel: SimKernel, _ parts: [Part], exporter: String, flags: Int32) {
        self.parts = parts
        super.init(kernel, size: parts.reduce(0) { $0 + $1.length }, exporter: exporter, flags: flags)
    }

    /// The parts side by side, whatever files they are from.
    override func mapMemory(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> UnsafeMutableRawPointer
    {
        var address: UnsafeMutableRawPointer?
        let result = sys_mmap(&address, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard result == 0, let address else { throw Errno(result: result) ?? Errno(ENOMEM) }
        var start: UInt64 = 0
        var place = offset
        let end = offset + (UInt64(length) + 4095) & ~4095
        for part in parts {
            let last = min(end, start + part.length)
            if place >= start, place < last {
                let mapped = sys_remap(
                    address + Int(place - offset), Int(last - place), protection, part.file.descriptor,
                    part.offset + (place - start))
                guard mapped == 0 else {
                    _ = sys_munmap(address, length)
                    throw Errno(result: mapped) ?? Errno(ENOMEM)
                }
                place = last
            }
            start += part.length
        }
        return address
    }
}

/// drivers/dma-buf/udmabuf.c
final class UDMABuf: PageBuffer {
    private var hasTable = false

    // begin_cpu_udmabuf makes the table that end_cpu_udmabuf wants
    override func prepareForCPU(ends: Bool) throws(Errno) {
        guard hasTable || !ends else { throw Errno(EINVAL) }
        hasTable = true
    }

    // mmap_udmabuf
    override func mapMemory(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> UnsafeMutableRawPointer
    {
        guard flags & MAP_SHARED != 0 else { throw Errno(EINVAL) }
        return try super.mapMemory(length: length, protection: protection, flags: flags, at: offset)
    }
}

/// An open /dev/udmabuf.
final class UDMABufFile: OpenFile {
    private struct Item {
        let memfd: Int32
        let offset: UInt64
        let size: UInt64
    }
    /// The module parameters list_limit and size_limit_mb.
    private static let listLimit: UInt32 = 1024
    private static let pageLimit: UInt64 = 64 << 8
    private static let sealShrink = 2
    private static let sealsDenied = 8 | 16

    init(_ kernel: SimKernel, flags: Int32) { super.init(kernel, "/dev/udmabuf", flags: flags) }

    // udmabuf_ioctl
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        switch request {
        case 0x4018_7542:
            _ = try user.bytes(at: 0, count: 24)
            let item = Item(
                memfd: try user.load(Int32.self), offset: try user.load(UInt64.self, at: 8),
                size: try user.load(UInt64.self, at: 16))
            return try create([item], flags: try user.load(UInt32.self, at: 4))
        case 0x4008_7543:
            let flags = try user.load(UInt32.self)
            let count = try user.load(UInt32.self, at: 4)
            guard count <= UDMABufFile.listLimit else { throw Errno(EINVAL) }
            _ = try user.bytes(at: 8, count: Int(count) * 24)
            var items: [Item] = []
            for index in 0..<UInt64(count) {
                let place = 8 + 24 * index
                items.append(
                    Item(
                        memfd: try user.load(Int32.self, at: place),
                        offset: try user.load(UInt64.self, at: place + 8),
                        size: try user.load(UInt64.self, at: place + 16)))
            }
            return try create(items, flags: flags)
        default: throw Errno(ENOTTY)
        }
    }

    // udmabuf_create
    private func create(_ items: [Item], flags: UInt32) throws(Errno) -> Int {
        var pages: UInt64 = 0
        for item in items {
            guard (item.offset | item.size) & 4095 == 0 else { throw Errno(EINVAL) }
            pages &+= item.size >> 12
            guard pages <= UDMABufFile.pageLimit else { throw Errno(EINVAL) }
        }
        guard pages > 0 else { throw Errno(EINVAL) }
        var parts: [PageBuffer.Part] = []
        for item in items { parts.append(try part(item)) }
        let buffer = UDMABuf(kernel, parts, exporter: "udmabuf", flags: O_RDWR)
        return kernel.install(buffer, closesOnExec: flags & 1 != 0)
    }

    // check_memfd_seals, mm/memfd.c:memfd_pin_folios
    private func part(_ item: Item) throws(Errno) -> PageBuffer.Part {
        guard let file = kernel.files[item.memfd] as? MemoryFile else { throw Errno(EBADFD) }
        let seals = file.seals
        guard seals & UDMABufFile.sealShrink != 0 else { throw Errno(EINVAL) }
        guard seals & UDMABufFile.sealsDenied == 0 else { throw Errno(EINVAL) }
        let (end, wraps) = item.offset.addingReportingOverflow(item.size)
        guard item.size > 0 else { throw Errno(EINVAL) }
        guard !wraps else { throw Errno(EINVAL) }
        guard end <= file.length else { throw Errno(EINVAL) }
        return PageBuffer.Part(file: file, offset: item.offset, length: item.size)
    }
}

/// An open /dev/dma_heap/NAME. drivers/dma-buf/dma-heap.c
final class DMAHeapFile: OpenFile {
    private let heap: String

    init(_ kernel: SimKernel, heap: String, flags: Int32) {
        self.heap = heap
        super.init(kernel, "/dev/dma_heap/\(heap)", flags: flags)
    }

    // dma_heap_ioctl: only the number counts; what the structure lacks is zero, what it has more is not looked at
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        guard request & 0xff == 0 else { throw Errno(EINVAL) }
        let size = request >> 16 & 0x3fff
        let given = request >> 30 & 1 != 0 ? try user.bytes(at: 0, count: size) : []
        var bytes = Array((given + [UInt8](repeating: 0, count: 24)).prefix(max(24, size)))
        try allocate(&bytes)
        if request >> 31 & 1 != 0 {
            for place in 0..<size { try user.store(bytes[place], at: UInt64(place)) }
        }
        return 0
    }

    // dma_heap_ioctl_allocate, dma_heap_buffer_alloc
    private func allocate(_ bytes: inout [UInt8]) throws(Errno) {
        func word(_ place: Int) -> UInt64 {
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: UInt64.self) }
        }
        let (length, descriptor) = (word(0), UInt32(truncatingIfNeeded: word(8)))
        let flags = Int32(truncatingIfNeeded: word(8) >> 32)
        guard descriptor == 0 else { throw Errno(EINVAL) }
        guard flags & ~(O_CLOEXEC | O_ACCMODE) == 0 else { throw Errno(EINVAL) }
        guard word(16) == 0 else { throw Errno(EINVAL) }
        let size = (length &+ 4095) & ~4095
        guard size != 0 else { throw Errno(EINVAL) }
        let file = try MemoryFile(kernel, sealFlags: 0)
        guard size <= 1 << 40 else { throw Errno(ENOMEM) }
        try file.truncate(Int64(size))
        let part = PageBuffer.Part(file: file, offset: 0, length: size)
        let buffer = PageBuffer(kernel, [part], exporter: heap, flags: flags)
        let number = kernel.install(buffer, closesOnExec: flags & O_CLOEXEC != 0)
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: number)) { bytes.replaceSubrange(8..<12, with: $0) }
    }
}
