import CKernel
import Glibc
import Kernel

/// The bytes behind a BAR: shared memory, so that a program's mapping, pread and a peer's DMA see the same. It is no file,
/// whose length the process's limit would bound; a page is there from the first access on.
final class BARMemory {
    let size: UInt64
    let base: UnsafeMutableRawPointer
    private let span: Int

    init(size: UInt64) throws(Errno) {
        guard size > 0, size <= 1 << 46 else { throw Errno(ENOMEM) }
        span = Int(size.wholePages)
        var address: UnsafeMutableRawPointer?
        let flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE
        guard sys_mmap(&address, span, PROT_READ | PROT_WRITE, flags, -1, 0) == 0, let address else {
            throw Errno(ENOMEM)
        }
        self.size = size
        base = address
    }

    deinit { _ = sys_munmap(base, span) }

    func map(length: Int, protection: Int32, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        let result = sys_map_again(&address, nil, base + Int(offset), length, protection)
        guard result == 0, let address else { throw Errno(result: result) ?? Errno(ENOMEM) }
        return address
    }

    private static let nothing = Int32(truncatingIfNeeded: sys_memfd(0))

    /// Puts the memory, or pages without anything behind them, where it was mapped before.
    func show(_ shown: Bool, at address: UnsafeMutableRawPointer, length: Int, protection: Int32, from offset: UInt64)
        -> Int
    {
        guard shown else { return sys_remap(address, length, protection, BARMemory.nothing, 0) }
        var result: UnsafeMutableRawPointer?
        return sys_map_again(&result, address, base + Int(offset), length, protection)
    }

    /// The caller has checked that the bytes lie inside.
    func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) {
        bytes.copyMemory(from: UnsafeRawBufferPointer(start: base + Int(offset), count: bytes.count))
    }

    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(start: base + Int(offset), count: bytes.count).copyMemory(from: bytes)
    }
}
