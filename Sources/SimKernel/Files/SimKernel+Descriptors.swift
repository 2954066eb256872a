import CKernel
import Glibc
import Kernel

/// Calls on descriptors of any kind. See ``SystemCalls``.
extension SimKernel {
    /// See ``SystemCalls``.
    public func memfd(flags: UInt32) -> Int {
        call { () throws(Errno) in install(try MemoryFile(self, sealFlags: flags), closesOnExec: true) }
    }

    /// See ``SystemCalls``.
    public func truncate(_ descriptor: Int32, _ length: Int64) -> Int {
        call { () throws(Errno) in
            guard length >= 0 else { throw Errno(EINVAL) }
            try file(descriptor).truncate(length)
            return 0
        }
    }

    /// See ``SystemCalls``.
    public func eventfd(_ count: UInt32) -> Int {
        call { () throws(Errno) in install(EventFile(self, count: UInt64(count)), closesOnExec: true) }
    }

    /// See ``SystemCalls``. fs/fcntl.c:do_fcntl
    public func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int {
        call { () throws(Errno) in
            let file = try file(descriptor)
            switch command {
            case F_DUPFD, F_DUPFD_CLOEXEC:
                guard argument == 0 else { throw notModelled("fcntl F_DUPFD from a number", EINVAL) }
                file.hold()
                return install(file, closesOnExec: command == F_DUPFD_CLOEXEC)
            case F_GETFD: return files.closesOnExec(descriptor) ? 1 : 0
            case F_SETFD:
                files.setClosesOnExec(argument & 1 != 0, descriptor)
                return 0
            case F_GETFL: return Int(file.flags)
            case SealCommand.add.rawValue, SealCommand.get.rawValue: return try file.seal(command, argument)
            default: throw notModelled("fcntl command \(command)", EINVAL)
            }
        }
    }

    /// See ``SystemCalls``. fs/select.c:do_pollfd
    public func poll(_ descriptor: Int32, _ events: Int16) -> Int {
        call { () throws(Errno) in
            guard descriptor >= 0 else { return 0 }
            guard let file = files[descriptor] else { return Int(POLLNVAL) }
            return Int(file.events(events) & (events | Int16(POLLERR | POLLHUP)))
        }
    }
}

/// F_ADD_SEALS and F_GET_SEALS, which Swift's Glibc module does not show.
enum SealCommand: Int32 {
    case add = 1033
    case get = 1034
}

/// An anonymous file of memory: a real one, so that its pages, seals and mappings are real too. mm/memfd.c
final class MemoryFile: OpenFile {
    let descriptor: Int32

    init(_ kernel: SimKernel, sealFlags: UInt32) throws(Errno) {
        let created = sys_memfd(sealFlags)
        if let errno = Errno(result: created) { throw errno }
        descriptor = Int32(truncatingIfNeeded: created)
        super.init(kernel, "memfd", flags: O_RDWR | SimKernel.largeFile)
    }

    deinit { _ = sys_close(descriptor) }

    private func checked(_ result: Int) throws(Errno) -> Int {
        if let errno = Errno(result: result) { throw errno }
        return result
    }

    override func truncate(_ length: Int64) throws(Errno) { _ = try checked(sys_ftruncate(descriptor, length)) }

    override func seal(_ command: Int32, _ argument: Int) throws(Errno) -> Int {
        try checked(sys_fcntl(descriptor, command, argument))
    }

    var seals: Int { sys_fcntl(descriptor, SealCommand.get.rawValue, 0) }
    var length: UInt64 { UInt64(max(0, sys_lseek(descriptor, 0, SEEK_END))) }

    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try checked(sys_pread(descriptor, bytes.baseAddress, bytes.count, offset))
    }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try checked(sys_pwrite(descriptor, bytes.baseAddress, bytes.count, offset))
    }

    override func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int {
        if whence == SEEK_END || whence == SEEK_SET {
            position = UInt64(try checked(sys_lseek(descriptor, offset, whence)))
            return Int(position)
        }
        throw kernel.notModelled("lseek of a memfd relative to its position", EINVAL)
    }

    override func map(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> (UnsafeMutableRawPointer, BARAddress?)
    {
        var address: UnsafeMutableRawPointer?
        _ = try checked(sys_mmap(&address, length, protection, flags, descriptor, offset))
        guard let address else { throw Errno(ENOMEM) }
        return (address, nil)
    }
}
