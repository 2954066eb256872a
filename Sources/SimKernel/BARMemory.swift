import CKernel
import Glibc
import Kernel

/// The bytes behind a BAR: a memfd, so that a program's mapping, pread and a peer's DMA see the same memory.
final class BARMemory {
    let size: UInt64
    let base: UnsafeMutableRawPointer
    private let descriptor: Int32
    private let span: Int

    init(size: UInt64) throws(Errno) {
        guard size > 0, size <= 1 << 46 else { throw Errno(ENOMEM) }
        span = Int((size + 4095) & ~4095)
        let created = sys_memfd_create("bar")
        if let errno = Errno(result: created) { throw errno }
        descriptor = Int32(truncatingIfNeeded: created)
        var address: UnsafeMutableRawPointer?
        guard ftruncate(descriptor, span) == 0,
            sys_mmap(&address, span, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) == 0, let address
        else {
            _ = sys_close(descriptor)
            throw Errno(ENOMEM)
        }
        self.size = size
        base = address
    }

    deinit {
        _ = sys_munmap(base, span)
        _ = sys_close(descriptor)
    }

    func map(length: Int, protection: Int32, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        let result = sys_mmap(&address, length, protection, MAP_SHARED, descriptor, offset)
        guard result == 0, let address else { throw Errno(result: result) ?? Errno(ENOMEM) }
        return address
    }

    private static let nothing = Int32(truncatingIfNeeded: sys_memfd(0))

    /// Puts the memory, or pages without anything behind them, where it was mapped before.
    func show(_ shown: Bool, at address: UnsafeMutableRawPointer, length: Int, protection: Int32, from offset: UInt64)
        -> Int
    {
        sys_remap(address, length, protection, shown ? descriptor : BARMemory.nothing, shown ? offset : 0)
    }

    /// The caller has checked that the bytes lie inside.
    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) {
        bytes.copyMemory(from: UnsafeRawBufferPointer(start: base + Int(offset), count: bytes.count))
    }

    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(start: base + Int(offset), count: bytes.count).copyMemory(from: bytes)
    }
}
