import CKernel
import Glibc
import Kernel

/// drivers/dma-buf/udmabuf.c
final class UDMABuf: MemoryDMABuf {
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
    /// The module parameter list_limit.
    private static let listLimit: UInt32 = 1024
    /// Bytes: the module parameter size_limit_mb, 64.
    private static let sizeLimit: UInt64 = 64 << 20
    /// F_SEAL_SHRINK is wanted, F_SEAL_WRITE and F_SEAL_FUTURE_WRITE are refused: include/uapi/linux/fcntl.h
    private static let sealShrink = 2
    private static let sealsDenied = 8 | 16

    init(_ kernel: SimKernel, flags: Int32) { super.init(kernel, "/dev/udmabuf", flags: flags) }

    // udmabuf_ioctl
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        switch request {
        case UDMABUF_CREATE:
            let create = try user.load(udmabuf_create.self)
            let item = udmabuf_create_item(memfd: create.memfd, pad: 0, offset: create.offset, size: create.size)
            return try self.create([item], flags: create.flags)
        case UDMABUF_CREATE_LIST:
            let list = try user.load(udmabuf_create_list.self)
            guard list.count <= UDMABufFile.listLimit else { throw Errno(EINVAL) }
            let size = MemoryLayout<udmabuf_create_item>.stride
            let bytes = try user.bytes(
                at: UInt64(MemoryLayout<udmabuf_create_list>.size), count: Int(list.count) * size)
            let items = bytes.withUnsafeBytes { bytes in
                (0..<Int(list.count)).map {
                    bytes.loadUnaligned(fromByteOffset: $0 * size, as: udmabuf_create_item.self)
                }
            }
            return try create(items, flags: list.flags)
        default: throw Errno(ENOTTY)
        }
    }

    // udmabuf_create
    private func create(_ items: [udmabuf_create_item], flags: UInt32) throws(Errno) -> Int {
        var size: UInt64 = 0
        for item in items {
            guard (item.offset | item.size).isPageAligned else { throw Errno(EINVAL) }
            let (sum, wraps) = size.addingReportingOverflow(item.size)
            guard !wraps, sum <= UDMABufFile.sizeLimit else { throw Errno(EINVAL) }
            size = sum
        }
        guard size > 0 else { throw Errno(EINVAL) }
        var parts: [MemoryDMABuf.Part] = []
        for item in items { parts.append(try part(item)) }
        let buffer = UDMABuf(kernel, parts, exporter: "udmabuf", flags: O_RDWR)
        return kernel.install(buffer, closesOnExec: flags & UInt32(UDMABUF_FLAGS_CLOEXEC) != 0)
    }

    // check_memfd_seals, mm/memfd.c:memfd_pin_folios
    private func part(_ item: udmabuf_create_item) throws(Errno) -> MemoryDMABuf.Part {
        guard let file = kernel.files[Int32(bitPattern: item.memfd)] as? MemoryFile else { throw Errno(EBADFD) }
        let seals = file.seals
        guard seals & UDMABufFile.sealShrink != 0 else { throw Errno(EINVAL) }
        guard seals & UDMABufFile.sealsDenied == 0 else { throw Errno(EINVAL) }
        let (end, wraps) = item.offset.addingReportingOverflow(item.size)
        guard item.size > 0 else { throw Errno(EINVAL) }
        guard !wraps else { throw Errno(EINVAL) }
        guard end <= file.length else { throw Errno(EINVAL) }
        return MemoryDMABuf.Part(file: file, offset: item.offset, length: item.size)
    }
}
