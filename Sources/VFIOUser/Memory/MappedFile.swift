import CKernel
import Glibc
import Kernel

/// A file, mapped whole and shared with the client that gave its descriptor. The client may shrink it at any time,
/// which makes a plain access a SIGBUS: bytes are copied by ``copyGuarded(to:from:count:)`` alone.
final class MappedFile {
    /// By which two descriptors are known to be of one file.
    struct Identity: Hashable {
        let file: FileIdentity
        let isWritable: Bool

        init(_ file: mappable) {
            self.file = FileIdentity(device: file.device, inode: file.inode)
            isWritable = file.is_writable != 0
        }
    }

    let base: UnsafeMutableRawPointer
    let size: Int
    let isWritable: Bool

    /// Maps a file as `socket_mappable` described it; the descriptor stays the caller's.
    init(_ descriptor: Int32, _ file: mappable) throws(Errno) {
        guard let size = Int(exactly: file.size), size > 0 else { throw Errno(EINVAL) }
        var address: UnsafeMutableRawPointer?
        let protection = PROT_READ | (file.is_writable != 0 ? PROT_WRITE : 0)
        if let error = Errno(result: sys_mmap(&address, size, protection, MAP_SHARED, descriptor, 0)) { throw error }
        guard let address else { throw Errno(EFAULT) }
        base = address
        self.size = size
        isWritable = file.is_writable != 0
    }

    deinit { sys_munmap(base, size) }
}

/// Copies at memcpy's speed; false where one of the two addresses has lost its memory.
@inline(__always)
func copyGuarded(to target: UnsafeMutableRawPointer, from source: UnsafeRawPointer, count: Int) -> Bool {
    sys_copy_or_fault(target, source, count) == 0
}
