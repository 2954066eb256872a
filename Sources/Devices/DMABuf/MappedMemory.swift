import CKernel
import Glibc
public import Kernel

/// Memory mapped into this process: a device's region, or host memory. Reads and writes of a region whose device went
/// away answer EIO instead of killing the process.
public struct MappedMemory: ~Copyable {
    private let base: UnsafeMutableRawPointer
    private let kernel: any Kernel
    /// Bytes.
    public let length: Int
    /// How messages call it.
    public let label: String
    /// Whose memory it is, "0000:01:00.0 region 2"; nil for the machine's.
    public let region: String?
    /// Whether it is mapped.
    public private(set) var isOpen = true

    init(
        _ base: UnsafeMutableRawPointer, length: Int, label: String, region: String? = nil, _ kernel: any Kernel
    ) {
        self.region = region
        self.base = base
        self.kernel = kernel
        self.length = length
        self.label = label
    }

    /// Sizes of pages that memory can be made of.
    public enum PageSize: Int64, Sendable {
        /// The processor's own.
        case ordinary = 0x1000
        /// 2 MiB, of the pool in /sys/kernel/mm/hugepages.
        case huge = 0x20_0000
        /// 1 GiB, likewise.
        case gigantic = 0x4000_0000

        /// MAP_HUGETLB with the size's logarithm, as mmap(2) has it.
        fileprivate var flags: Int32 {
            self == .ordinary ? 0 : 0x40000 | Int32(truncatingIfNeeded: rawValue.trailingZeroBitCount) << 26
        }
    }

    /// Zeroed host memory of whole pages, private to this process. Huge pages make its length a multiple of theirs; ENOMEM
    /// where the machine has not set so many aside.
    public init(hostMemory length: Int, pages: PageSize = .ordinary, kernel: any Kernel) throws(Failure) {
        let unit = Int(pages.rawValue)
        let length = pages == .ordinary ? length : (length + unit - 1) / unit * unit
        let label = "host memory of \(length) bytes"
        do throws(Errno) {
            let base = try kernel.mmap(
                length: length, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS | pages.flags,
                -1, at: 0)
            self.init(base, length: length, label: label, kernel)
        } catch {
            throw Failure(
                "mmap", error, object: label,
                hint: pages != .ordinary && error == .noMemory
                    ? "set \(length / unit) aside: /sys/kernel/mm/hugepages/hugepages-\(unit / 1024)kB/nr_hugepages"
                    : nil)
        }
    }

    /// What a descriptor of any kind gives to mmap(2).
    public init(
        of descriptor: Int32, length: Int, protection: Int32, flags: Int32, at offset: UInt64, kernel: any Kernel
    ) throws(Failure) {
        let label = "descriptor \(descriptor)"
        do throws(Errno) {
            let base = try kernel.mmap(
                length: length, protection: protection, flags: flags, descriptor, at: offset)
            self.init(base, length: length, label: label, kernel)
        } catch {
            throw Failure("mmap", error, object: label)
        }
    }

    /// The virtual address of its first byte.
    public var address: UInt64 { UInt64(UInt(bitPattern: base)) }

    /// Throws EINVAL where not all of the bytes are inside; `call` is what messages say was tried.
    public func check(_ call: String, _ offset: UInt64, _ count: Int) throws(Failure) {
        guard offset <= UInt64(length), count <= length - Int(offset) else {
            throw Failure(
                call, .invalid, object: label, request: "offset=\(offset), count=\(count)",
                hint: "it is \(length) bytes long")
        }
    }

    /// Copies from the memory. EIO where the device behind it does not answer (SIGBUS); EFAULT where it was mapped without
    /// that access (SIGSEGV).
    public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
        try check("load", offset, buffer.count)
        guard let to = buffer.baseAddress, !buffer.isEmpty else { return }
        let errno = Errno(result: sys_copy_or_fault(to, base + Int(offset), buffer.count))
        kernel.accessed(MemoryAccess(.load, at: address &+ offset, UnsafeRawBufferPointer(buffer), errno))
        if let errno { throw fault("load", errno) }
    }

    /// Copies to the memory, likewise.
    public func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(Failure) {
        try check("store", offset, buffer.count)
        if let errno = store(buffer, at: offset) { throw fault("store", errno) }
    }

    /// Sets bytes to a value, likewise; EINTR where `stop` is no longer 0, between MiBs.
    public func fill(
        at offset: UInt64, count: Int, with byte: UInt8, stop: UnsafePointer<Int32>? = nil
    ) throws(Failure) {
        try check("store", offset, count)
        let piece = [UInt8](repeating: byte, count: min(count, 1 << 20))
        var done = 0
        while done < count {
            try goOn("store", stop)
            let length = min(piece.count, count - done)
            let written = piece.withUnsafeBytes {
                store(UnsafeRawBufferPointer(rebasing: $0[..<length]), at: offset + UInt64(done))
            }
            if let errno = written { throw fault("store", errno) }
            done += length
        }
    }

    /// Throws EINTR where `stop` is no longer 0: a slow device's memory takes minutes.
    func goOn(_ call: String, _ stop: UnsafePointer<Int32>?) throws(Failure) {
        guard let stop, stop.pointee != 0 else { return }
        throw Failure(call, .interrupted, object: label)
    }

    private func store(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Errno? {
        guard let from = buffer.baseAddress, !buffer.isEmpty else { return nil }
        let errno = Errno(result: sys_copy_or_fault(base + Int(offset), from, buffer.count))
        kernel.accessed(MemoryAccess(.store, at: address &+ offset, buffer, errno))
        return errno
    }

    private func fault(_ call: String, _ errno: Errno) -> Failure {
        Failure(call, errno, object: label, of: .mappedMemory)
    }

    /// Unmaps it. What could not be unmapped stays open.
    public mutating func close() throws(Failure) {
        guard isOpen else { return }
        let result = kernel.munmap(base, length: length)
        if let errno = Errno(result: result) { throw Failure("munmap", errno, object: label) }
        isOpen = false
    }

    deinit {
        if isOpen { _ = kernel.munmap(base, length: length) }
    }
}
