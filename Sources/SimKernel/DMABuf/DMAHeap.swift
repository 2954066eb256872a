import CKernel
import Glibc
import Kernel

/// An open /dev/dma_heap/NAME. drivers/dma-buf/dma-heap.c
final class DMAHeapFile: OpenFile {
    private let heap: String

    init(_ kernel: SimKernel, heap: String, flags: Int32) {
        self.heap = heap
        super.init(kernel, "/dev/dma_heap/\(heap)", flags: flags)
    }

    // dma_heap_ioctl looks at the request's number only: a shorter structure is filled up with zeros, a longer one cut
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        guard request & 0xff == Int(DMA_HEAP_IOCTL_ALLOC) & 0xff else { throw Errno(EINVAL) }
        // include/uapi/asm-generic/ioctl.h: size in bits 29:16, _IOC_WRITE is bit 30, _IOC_READ bit 31
        let size = request >> 16 & 0x3fff
        let needed = MemoryLayout<dma_heap_allocation_data>.size
        let given = request >> 30 & 1 != 0 ? try user.bytes(at: 0, count: size) : []
        var bytes = Array((given + [UInt8](repeating: 0, count: needed)).prefix(max(needed, size)))
        var data = bytes.withUnsafeBytes { $0.loadUnaligned(as: dma_heap_allocation_data.self) }
        try allocate(&data)
        withUnsafeBytes(of: data) { bytes.replaceSubrange(0..<needed, with: $0) }
        if request >> 31 & 1 != 0 {
            for index in 0..<size { try user.store(bytes[index], at: UInt64(index)) }
        }
        return 0
    }

    // dma_heap_ioctl_allocate, dma_heap_buffer_alloc
    private func allocate(_ data: inout dma_heap_allocation_data) throws(Errno) {
        let flags = Int32(bitPattern: data.fd_flags)
        guard data.fd == 0 else { throw Errno(EINVAL) }
        guard flags & ~(O_CLOEXEC | O_ACCMODE) == 0 else { throw Errno(EINVAL) }
        guard data.heap_flags == 0 else { throw Errno(EINVAL) }
        let size = data.len.wholePages
        guard size != 0 else { throw Errno(EINVAL) }
        let file = try MemoryFile(kernel, sealFlags: 0)
        guard size <= 1 << 40 else { throw Errno(ENOMEM) }
        try file.truncate(Int64(size))
        let part = MemoryDMABuf.Part(file: file, offset: 0, length: size)
        let buffer = MemoryDMABuf(kernel, [part], exporter: heap, flags: flags)
        data.fd = UInt32(truncatingIfNeeded: kernel.install(buffer, closesOnExec: flags & O_CLOEXEC != 0))
    }
}
