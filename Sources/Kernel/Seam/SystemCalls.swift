import Glibc

/// The third argument of an ioctl.
public enum IoctlArgument {
    /// Nothing (zero is passed).
    case none
    /// The number itself, as VFIO_SET_IOMMU takes it.
    case value(UInt)
    /// The address of these bytes. Where a kernel reads past their end, the simulated bench answers EFAULT; a real
    /// kernel does so only where the bytes end at an inaccessible page (`sys_guarded_alloc`).
    case memory(UnsafeMutableRawBufferPointer)
}

/// System calls for VFIO, iommufd, dma-buf and sysfs: the first half of the seam between this program and a kernel.
/// Results are the kernel's: 0 or more, or a negated errno. Paths are absolute.
///
/// A kernel object belongs to one thread, like the Lua state that uses it.
public protocol SystemCalls: AnyObject {
    /// open(2). `flags` are O_RDWR and the like; the caller passes O_CLOEXEC. Files are created with mode 0600.
    func open(_ path: String, flags: Int32) -> Int
    /// close(2). The descriptor is closed whatever the result.
    func close(_ descriptor: Int32) -> Int
    /// ioctl(2).
    func ioctl(_ descriptor: Int32, _ request: UInt, _ argument: IoctlArgument) -> Int
    /// read(2).
    func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int
    /// write(2).
    func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int
    /// pread(2).
    func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int
    /// pwrite(2).
    func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int
    /// lseek(2).
    func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int
    /// memfd_create(2), close-on-exec. `flags` are MFD_ALLOW_SEALING and the like.
    func memfd(flags: UInt32) -> Int
    /// ftruncate(2).
    func truncate(_ descriptor: Int32, _ length: Int64) -> Int
    /// fcntl(2) with a number.
    func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int
    /// poll(2) of one descriptor without waiting: the events that are pending.
    func poll(_ descriptor: Int32, _ events: Int16) -> Int
    /// eventfd(2), close-on-exec.
    func eventfd(_ count: UInt32) -> Int
    /// mmap(2) at an address of the kernel's choice. `descriptor` is -1 for anonymous memory.
    func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64) throws(Errno)
        -> UnsafeMutableRawPointer
    /// munmap(2).
    func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int
    /// fsync(2) of a file, or of a folder for the names in it.
    func fsync(_ descriptor: Int32) -> Int
    /// mkdir(2), for this user alone.
    func mkdir(_ path: String) -> Int
    /// rename(2).
    func rename(_ path: String, to other: String) -> Int
    /// unlink(2).
    func unlink(_ path: String) -> Int
    /// readlink(2): the link's text.
    func readlink(_ path: String) throws(Errno) -> String
    /// The names in a directory, sorted, without "." and "..".
    func list(_ path: String) throws(Errno) -> [String]
    /// CLOCK_MONOTONIC in nanoseconds; on the simulated bench its virtual clock.
    func monotonic() -> UInt64
    /// Sleeps; -EINTR where a signal ended it early, or where `stop` became other than 0 (noticed within 50 ms, set in
    /// any thread). The simulated bench advances its clock instead and ignores `stop`.
    func sleep(nanoseconds: UInt64, stop: UnsafePointer<Int32>?) -> Int
}

extension SystemCalls {
    /// Sleeps; -EINTR where a signal ended it early.
    public func sleep(nanoseconds: UInt64) -> Int { sleep(nanoseconds: nanoseconds, stop: nil) }
}

/// Flags of mmap(2) that are taken from scripts and records. Others choose the address (MAP_FIXED), and so replace what is
/// mapped there, or let a mapping grow over what lies beside it (MAP_GROWSDOWN). Source: asm-generic/mman-common.h.
public let acceptedMappingFlags: UInt32 =
    // The type (MAP_SHARED, MAP_PRIVATE), and the size of huge pages.
    0xf | UInt32(MAP_HUGETLB) | 0x3f << 26
    | UInt32(MAP_ANONYMOUS | MAP_NORESERVE | MAP_LOCKED | MAP_POPULATE | MAP_NONBLOCK)
