import CKernel
import Glibc
import Kernel

/// A dma-buf of host memory: pages of memfds (udmabuf), or of its own (a heap).
class MemoryDMABuf: DMABuf {
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
        var position = offset
        let end = offset + UInt64(length).wholePages
        for part in parts {
            let last = min(end, start + part.length)
            if position >= start, position < last {
                let mapped = sys_remap(
                    address + Int(position - offset), Int(last - position), protection, part.file.descriptor,
                    part.offset + (position - start))
                guard mapped == 0 else {
                    _ = sys_munmap(address, length)
                    throw Errno(result: mapped) ?? Errno(ENOMEM)
                }
                position = last
            }
            start += part.length
        }
        return address
    }
}
