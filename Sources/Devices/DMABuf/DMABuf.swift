import CKernel
import Glibc
public import Kernel

/// A dma-buf. Source: drivers/dma-buf/dma-buf.c, include/uapi/linux/dma-buf.h.
public struct DMABuf: ~Copyable {
    private var owned: OwnedDescriptor
    /// The VFIO device that exported it, which may be closed by now; nil of one that was adopted, whose device is not known.
    public let exporter: SharedDescriptor?
    /// How messages call it: the exporter's address and region, or its driver.
    public let label: String
    /// The hint that was set on it last through this object; nil where none was, or it was cleared.
    public var hint: TPHHint?

    /// What /proc/self/fdinfo says of a dma-buf.
    public struct Info: Sendable {
        /// Bytes.
        public var size: Int64 = 0
        /// File references, less the one that reading takes.
        public var count: Int64 = 0
        /// The exporting driver: "vfio_pci_core".
        public var exporter = ""
        /// The name given with DMA_BUF_SET_NAME; empty for none.
        public var name = ""
        /// The inode number.
        public var inode: Int64 = 0
    }

    init(_ owned: consuming OwnedDescriptor, exporter: SharedDescriptor?, label: String) {
        self.owned = owned
        self.exporter = exporter
        self.label = label
    }

    /// The dma-buf of a descriptor, of any exporter. The descriptor is copied, and stays its owner's, so that neither
    /// closes the other's. Of another file, which has no `exp_name` in its fdinfo
    /// (drivers/dma-buf/dma-buf.c:dma_buf_show_fdinfo), nil.
    public static func adopt(_ descriptor: Int32, of kernel: any Kernel) throws(Failure) -> DMABuf? {
        let copy = kernel.fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if let errno = Errno(result: copy) { throw Failure("fcntl", errno, object: "descriptor \(descriptor)") }
        let owned = OwnedDescriptor(Int32(truncatingIfNeeded: copy), kernel)
        let exporter = try info(of: owned.raw, kernel).exporter
        return exporter.isEmpty ? nil : DMABuf(owned, exporter: nil, label: exporter)
    }

    /// Its descriptor.
    public var descriptor: Int32 { owned.raw }
    /// Whose it is.
    public var kernel: any Kernel { owned.kernel }
    /// Whether it is open.
    public var isOpen: Bool { owned.isOpen }

    private var object: String { "dma-buf of \(label)" }

    /// Its size in bytes, from lseek(2).
    public func size() throws(Failure) -> Int {
        let result = kernel.lseek(descriptor, 0, Int32(SEEK_END))
        if let errno = Errno(result: result) { throw Failure("lseek", errno, object: object) }
        return result
    }

    /// Names it: at most 31 bytes.
    public func setName(_ name: String) throws(Failure) {
        var bytes = Array(name.utf8) + [0]
        try kernel.send(DMA_BUF_SET_NAME_B, on: .dmabuf, descriptor, bytes: &bytes, object: object)
    }

    /// DMA_BUF_IOCTL_SYNC. `flags`: 1 read, 2 write, 4 end (else start).
    public func sync(flags: UInt64) throws(Failure) {
        var sync = dma_buf_sync(flags: flags)
        try kernel.send(DMA_BUF_IOCTL_SYNC, on: .dmabuf, descriptor, &sync, object: object)
    }

    /// What the kernel prints in its fdinfo.
    public func info() throws(Failure) -> Info { try DMABuf.info(of: descriptor, kernel) }

    private static func info(of descriptor: Int32, _ kernel: any Kernel) throws(Failure) -> Info {
        let path = "/proc/self/fdinfo/\(descriptor)"
        let text: String
        do throws(Errno) { text = try kernel.contents(of: path) } catch {
            throw Failure("open", error, object: path)
        }
        var info = Info()
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = String(parts[1].drop { $0 == "\t" || $0 == " " })
            switch parts[0] {
            case "size": info.size = Int64(value) ?? 0
            case "count": info.count = Int64(value) ?? 0
            case "exp_name": info.exporter = value
            case "name": info.name = value
            case "ino": info.inode = Int64(value) ?? 0
            default: break
            }
        }
        return info
    }

    /// Closes the descriptor; importers keep the buffer.
    public mutating func close() throws(Failure) {
        let result = owned.close()
        if let errno = Errno(result: result) { throw Failure("close", errno, object: object) }
    }
}
