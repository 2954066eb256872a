import Glibc
import Kernel

/// What a descriptor refers to. An operation that a subclass does not override answers as the kernel does for a file
/// without that operation.
class OpenFile {
    unowned let kernel: SimKernel
    /// The path it was opened by, or what kind of file it is.
    let name: String
    /// O_ACCMODE and O_NONBLOCK.
    let flags: Int32
    var position: UInt64 = 0
    /// How many descriptors and mappings refer to it.
    private(set) var references = 1

    init(_ kernel: SimKernel, _ name: String, flags: Int32) {
        self.kernel = kernel
        self.name = name
        self.flags = flags
    }

    /// How reports name it.
    var title: String { name }

    /// include/linux/fs.h:OPEN_FMODE: access mode 3 is neither.
    var isReadable: Bool { (flags & O_ACCMODE + 1) & 1 != 0 }
    var isWritable: Bool { (flags & O_ACCMODE + 1) & 2 != 0 }

    /// FMODE_PREAD and FMODE_PWRITE: what was opened by a path has them (fs/open.c:do_dentry_open).
    var isPositional: Bool { true }

    func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int { throw Errno(ENOTTY) }

    func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int { throw Errno(EINVAL) }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int { throw Errno(EINVAL) }

    func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int { throw Errno(ESPIPE) }

    func truncate(_ length: Int64) throws(Errno) { throw Errno(EINVAL) }

    func seal(_ command: Int32, _ argument: Int) throws(Errno) -> Int { throw Errno(EINVAL) }

    /// include/linux/poll.h:vfs_poll, DEFAULT_POLLMASK
    func events(_ events: Int16) -> Int16 { Int16(POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM) }

    func map(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> (UnsafeMutableRawPointer, BARAddress?)
    { throw Errno(ENODEV) }

    /// Called when the last descriptor or mapping is gone.
    func closed() {}

    func hold() { references += 1 }

    func release() {
        references -= 1
        if references == 0 { closed() }
    }

    /// Lines of /proc/PID/fdinfo behind the common ones.
    var information: String { "" }
    var inode: Int { 1 }
}

/// A byte of a BAR: the device, the index of the BAR, the offset in it.
struct BARAddress {
    let device: VFIODevice
    let index: Int
    let offset: UInt64
}

/// A file of sysfs or procfs: text that is there when it is opened.
class TextFile: OpenFile {
    private let contents: [UInt8]

    init(_ kernel: SimKernel, _ name: String, flags: Int32, _ contents: [UInt8]) {
        self.contents = contents
        super.init(kernel, name, flags: flags)
    }

    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        guard offset < UInt64(contents.count) else { return 0 }
        let part = contents[Int(offset)...].prefix(bytes.count)
        bytes.copyBytes(from: part)
        return part.count
    }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        throw kernel.notModelled("write to \(name)", EOPNOTSUPP)
    }

    override func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int {
        let base: Int64
        switch whence {
        case SEEK_SET: base = 0
        case SEEK_CUR: base = Int64(clamping: position)
        case SEEK_END: base = Int64(contents.count)
        default: throw Errno(EINVAL)
        }
        let (target, overflow) = base.addingReportingOverflow(offset)
        guard !overflow, target >= 0 else { throw Errno(EINVAL) }
        position = UInt64(target)
        return Int(target)
    }
}
