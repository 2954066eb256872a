import Glibc
import Kernel

/// The fences of a dma-buf as a file; here there are none, so it is signalled. drivers/dma-buf/sync_file.c
final class SyncFile: OpenFile {
    init(_ kernel: SimKernel) { super.init(kernel, "sync_file", flags: 0) }

    override var isPositional: Bool { false }

    // sync_file_ioctl
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        throw kernel.notModelled("ioctl \(hex(request)) on a sync_file", ENOTTY)
    }

    // sync_file_poll
    override func events(_ events: Int16) -> Int16 { Int16(POLLIN) }
}
