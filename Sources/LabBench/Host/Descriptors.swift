import CKernel
import Glibc
import Kernel

/// Descriptors for processes that are about to be started. All are closed if starting fails.
struct Descriptors: ~Copyable {
    private var open: [Int32] = []

    deinit { for descriptor in open { close(descriptor) } }

    /// Two ends of a connection, closed on exec.
    mutating func connection() throws(Failure) -> [Int32] {
        var ends: [Int32] = [0, 0]
        let result = emulator_connection(&ends)
        guard result == 0 else { throw Failure("socketpair", Errno(Int32(-result)), object: "the emulator") }
        open += ends
        return ends
    }

    /// A file in memory, without a path; it ends with its last descriptor.
    mutating func file(_ name: String, _ parts: [[UInt8]]) throws(Failure) -> Int32 {
        let result = sys_memfd_create(name)
        guard result >= 0 else { throw Failure("memfd_create", Errno(Int32(-result)), object: name) }
        let descriptor = Int32(result)
        open.append(descriptor)
        for part in parts {
            guard LabFile.write(part, to: descriptor) else {
                throw Failure("write", Errno(errno), object: "the \(name) in memory")
            }
        }
        lseek(descriptor, 0, SEEK_SET)
        return descriptor
    }

    /// A file in memory of `size` zero bytes.
    mutating func memory(_ name: String, size: Int) throws(Failure) -> Int32 {
        let descriptor = try file(name, [])
        guard ftruncate(descriptor, size) == 0 else { throw Failure("ftruncate", Errno(errno), object: name) }
        return descriptor
    }

    /// Opens a file or folder by its path.
    mutating func path(_ path: String, _ access: Int32 = O_RDONLY) throws(Failure) -> Int32 {
        let descriptor = Glibc.open(path, access | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        open.append(descriptor)
        return descriptor
    }

    /// Hands a descriptor over: from now on the caller must close it.
    mutating func keep(_ descriptor: Int32) -> Int32 {
        open.removeAll { $0 == descriptor }
        return descriptor
    }
}
