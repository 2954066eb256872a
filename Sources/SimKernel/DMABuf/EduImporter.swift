import Glibc
import Kernel

/// Requests of /dev/edu-importer: scripts/lab/edu-importer/edu_importer.h.
private enum EduRequest {
    static let attach = 0x4008_ed00
    static let map = 0x8208_ed01
    static let copy = 0x4018_ed02
    static let unmap = 0xed03
    static let detach = 0xed04
    static let state = 0x8008_ed05
    static let hint = 0xc008_ed06

    static let peerToPeer: UInt32 = 1
    static let invalidate: UInt32 = 2
    /// How many entries the answer to EDU_MAP has room for.
    static let entries = 32
}

/// An open /dev/edu-importer: a driver that imports dma-bufs for QEMU's edu device.
/// scripts/lab/edu-importer/importer.c, which is a module and in no released kernel
final class EduImporterFile: OpenFile, Importer {
    /// The name of the driver.
    static let driver = "edu_importer"

    private let function: PCIFunction
    private let engine: EduEngine
    private var attachment: DMABuf?
    var slot = -1
    private var abilities: UInt32 = 0
    private var mapping: DMAMapping?
    private var invalidations: UInt32 = 0

    init(_ kernel: SimKernel, _ function: PCIFunction, _ engine: EduEngine, flags: Int32) {
        self.function = function
        self.engine = engine
        super.init(kernel, "/dev/edu-importer", flags: flags)
    }

    deinit { attachment?.detach(self) }

    var allowsPeerToPeer: Bool { abilities & EduRequest.peerToPeer != 0 }
    var canInvalidate: Bool { abilities & EduRequest.invalidate != 0 }

    // invalidated
    func invalidate() {
        invalidations += 1
        removeMapping()
    }

    // unmap_locked
    private func removeMapping() {
        if let mapping { kernel.unmap(mapping, for: function) }
        mapping = nil
    }

    // edu_release
    override func closed() { detach() }

    // dispatch; the device is always there
    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        if request == EduRequest.attach {
            try attach(user)
            return 0
        }
        guard let attachment else { throw Errno(EBADFD) }
        switch request {
        case EduRequest.map: try map(attachment, user)
        case EduRequest.copy: try copy(attachment, user)
        case EduRequest.unmap: removeMapping()
        case EduRequest.detach: detach()
        case EduRequest.state: try state(user)
        case EduRequest.hint: try hint(attachment, user)
        default: throw Errno(ENOTTY)
        }
        return 0
    }

    private func attach(_ user: UserMemory) throws(Errno) {
        guard attachment == nil else { throw Errno(EBADFD) }
        let request = try user.load(UInt64.self)
        let flags = UInt32(truncatingIfNeeded: request >> 32)
        guard flags & ~(EduRequest.peerToPeer | EduRequest.invalidate) == 0 else { throw Errno(EINVAL) }
        // dma_buf_get
        let file = try kernel.file(Int32(truncatingIfNeeded: request))
        guard let buffer = file as? DMABuf else { throw Errno(EINVAL) }
        invalidations = 0
        abilities = flags
        try buffer.attach(self)
        attachment = buffer
    }

    private func detach() {
        removeMapping()
        attachment?.detach(self)
        attachment = nil
    }

    // map, map_locked: the mapping stays even where the answer cannot be written
    private func map(_ buffer: DMABuf, _ user: UserMemory) throws(Errno) {
        guard self.mapping == nil else { throw Errno(EBUSY) }
        let mapping = try kernel.map(buffer, for: function)
        self.mapping = mapping
        var words: [UInt64] = [UInt64(mapping.entries.count)]
        for entry in mapping.entries.prefix(EduRequest.entries) { words += [entry.address, entry.length] }
        words += [UInt64](repeating: 0, count: 1 + 2 * EduRequest.entries - words.count)
        var failure: Errno?
        words.withUnsafeBytes { bytes in
            do throws(Errno) { try user.write(at: 0, bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func copy(_ buffer: DMABuf, _ user: UserMemory) throws(Errno) {
        _ = try user.bytes(at: 0, count: 24)
        var from = try user.load(UInt64.self)
        var to = try user.load(UInt64.self, at: 8)
        var rest = try user.load(UInt64.self, at: 16)
        guard rest <= buffer.size, from <= buffer.size - rest, to <= buffer.size - rest else { throw Errno(ERANGE) }
        while rest > 0 {
            let part = try copyPart(from, to, rest)
            from += part
            to += part
            rest -= part
        }
    }

    // copy_part; how many bytes it moved
    private func copyPart(_ from: UInt64, _ to: UInt64, _ length: UInt64) throws(Errno) -> UInt64 {
        guard let mapping else { throw Errno(ENXIO) }
        guard let source = mapping.find(from), let destination = mapping.find(to) else { throw Errno(ERANGE) }
        let part = min(length, EduEngine.longestCopy, source.count, destination.count)
        try engine.copy(from: source.address, to: destination.address, part, kernel)
        return part
    }

    private func state(_ user: UserMemory) throws(Errno) {
        try user.store(UInt64(invalidations) | (mapping == nil ? 0 : 1 << 32))
    }

    // hint, scripts/lab/vfio-tph/hints.c:vfio_tph_get
    private func hint(_ buffer: DMABuf, _ user: UserMemory) throws(Errno) {
        let request = try user.load(UInt64.self)
        guard let revision = kernel.topology.tph else { throw Errno(ENOENT) }
        let extended = UInt32(truncatingIfNeeded: request)
        guard let metadata = buffer.metadata else { throw Errno(EOPNOTSUPP) }
        let tag = try metadata.tag(for: extended != 0 ? 16 : 8, revision)
        try user.store(UInt64(extended) | UInt64(tag) << 32 | UInt64(metadata.hint) << 48)
    }
}
