import CKernel
import Glibc
import Kernel

/// An importer that is attached to a dma-buf. Its exporter can take the mapping back (dma_buf_attach_ops.invalidate_mappings).
protocol Importer: AnyObject {
    /// dma_buf_attach_ops.allow_peer2peer
    var allowsPeerToPeer: Bool { get }
    /// Whether it has invalidate_mappings at all.
    var canInvalidate: Bool { get }
    /// Its index among the dma-buf's importers; -1 while it has attached to none.
    var slot: Int { get set }
    func invalidate()
}

extension Importer {
    var allowsPeerToPeer: Bool { true }
    var canInvalidate: Bool { true }
}

/// A dma-buf, whoever exported it: one object with its file, as in the kernel. drivers/dma-buf/dma-buf.c
class DMABuf: OpenFile {
    let size: UInt64
    /// What fdinfo calls its exporter.
    let exporter: String
    var label: String?
    var metadata: TPHMetadata?
    private let number: Int
    /// Each importer's `slot` is its index here. It detaches in its deinit.
    private var importers: [Attachment] = []

    private struct Attachment {
        unowned let importer: any Importer
    }

    init(_ kernel: SimKernel, size: UInt64, exporter: String, flags: Int32) {
        self.size = size
        self.exporter = exporter
        number = kernel.inode()
        super.init(kernel, "dma-buf", flags: flags & (O_ACCMODE | O_NONBLOCK))
    }

    override var title: String { "dma-buf of \(size) bytes" }
    override var inode: Int { number }

    // MARK: Importers

    var importerCount: Int { importers.count }

    /// drivers/dma-buf/dma-buf.c:dma_buf_dynamic_attach
    func attach(_ importer: any Importer) throws(Errno) {
        importer.slot = importers.count
        importers.append(Attachment(importer: importer))
    }

    /// drivers/dma-buf/dma-buf.c:dma_buf_detach; nothing where it has not attached.
    func detach(_ importer: any Importer) {
        let slot = importer.slot
        guard slot >= 0 else { return }
        importer.slot = -1
        let last = importers.removeLast()
        // The last importer moves to the free index.
        guard slot < importers.count else { return }
        last.importer.slot = slot
        importers[slot] = last
    }

    func invalidateImporters() {
        for attachment in importers { attachment.importer.invalidate() }
    }

    // MARK: What exporters differ in

    /// dma_buf_begin_cpu_access, dma_buf_end_cpu_access
    func prepareForCPU(ends: Bool) throws(Errno) {}

    /// dma_buf_mmap_internal; most exporters have no mmap.
    func mapMemory(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> UnsafeMutableRawPointer
    { throw Errno(EINVAL) }

    // MARK: Its descriptors

    override var isPositional: Bool { false }

    // dma_buf_poll: no fence is ever pending
    override func events(_ events: Int16) -> Int16 { events & Int16(POLLIN | POLLOUT) }

    // dma_buf_llseek
    override func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int {
        guard offset == 0 else { throw Errno(EINVAL) }
        switch whence {
        case SEEK_END: return Int(clamping: size)
        case SEEK_SET: return 0
        default: throw Errno(EINVAL)
        }
    }

    // dma_buf_mmap_internal
    override func map(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> (UnsafeMutableRawPointer, BARAddress?)
    {
        guard offset <= size, UInt64(length) <= size - offset else { throw Errno(EINVAL) }
        return (try mapMemory(length: length, protection: protection, flags: flags, at: offset), nil)
    }

    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        switch request {
        case DMA_BUF_IOCTL_SYNC: return try synchronize(user)
        case DMA_BUF_SET_NAME_A, DMA_BUF_SET_NAME_B: return try setName(user)
        case Int(DMA_BUF_IOCTL_EXPORT_SYNC_FILE): return try exportSyncFile(user)
        case DMA_BUF_IOCTL_IMPORT_SYNC_FILE: return try importSyncFile(user)
        default: throw Errno(ENOTTY)
        }
    }

    // dma_buf_ioctl; no fence to wait for
    private func synchronize(_ user: UserMemory) throws(Errno) -> Int {
        let flags = try user.load(dma_buf_sync.self).flags
        guard flags & ~UInt64(DMA_BUF_SYNC_READ | DMA_BUF_SYNC_WRITE | DMA_BUF_SYNC_END) == 0 else {
            throw Errno(EINVAL)
        }
        guard flags & UInt64(DMA_BUF_SYNC_READ | DMA_BUF_SYNC_WRITE) != 0 else { throw Errno(EINVAL) }
        try prepareForCPU(ends: flags & UInt64(DMA_BUF_SYNC_END) != 0)
        return 0
    }

    private func syncFileFlags(_ user: UserMemory) throws(Errno) {
        let flags = try user.load(dma_buf_export_sync_file.self).flags
        let directions = UInt32(DMA_BUF_SYNC_READ | DMA_BUF_SYNC_WRITE)
        guard flags & ~directions == 0 else { throw Errno(EINVAL) }
        guard flags & directions != 0 else { throw Errno(EINVAL) }
    }

    // dma_buf_export_sync_file
    private func exportSyncFile(_ user: UserMemory) throws(Errno) -> Int {
        try syncFileFlags(user)
        let descriptor = kernel.install(SyncFile(kernel), closesOnExec: true)
        try user.store(Int32(truncatingIfNeeded: descriptor), at: UInt64(offsetofend_dma_buf_export_sync_file_flags))
        return 0
    }

    // dma_buf_import_sync_file, drivers/dma-buf/sync_file.c:sync_file_get_fence
    private func importSyncFile(_ user: UserMemory) throws(Errno) -> Int {
        try syncFileFlags(user)
        guard kernel.files[try user.load(dma_buf_import_sync_file.self).fd] is SyncFile else { throw Errno(EINVAL) }
        return 0
    }

    // dma_buf_set_name
    private func setName(_ user: UserMemory) throws(Errno) -> Int {
        label = try user.string(limit: 32)
        return 0
    }

    // dma_buf_show_fdinfo
    override var information: String {
        "size:\t\(size)\ncount:\t\(references + importerCount)\nexp_name:\t\(exporter)\n"
            + (label.map { "name:\t\($0)\n" } ?? "")
    }
}
