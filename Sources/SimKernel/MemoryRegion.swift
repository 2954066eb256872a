import Glibc
import Kernel

/// A registered memory region and its memory key.
final class MemoryRegion: Importer {
    let domain: ProtectionDomain
    let start: UInt64
    let length: UInt64
    let buffer: DMABuf?
    let dmaHandle: DMAHandle?
    /// The hint of the memory key, read once at registration.
    private(set) var hint: (ph: UInt8, index: UInt8)?
    var key: UInt32 = 0

    init(_ domain: ProtectionDomain, start: UInt64, length: UInt64, buffer: DMABuf? = nil, handle: DMAHandle? = nil) {
        self.domain = domain
        self.start = start
        self.length = length
        self.buffer = buffer
        dmaHandle = handle
    }

    deinit { buffer?.detach(ObjectIdentifier(self)) }

    /// drivers/infiniband/hw/mlx5/mr.c:mlx5_ib_dmabuf_invalidate_cb. The key stays; the next page fault maps again.
    func invalidate() {}

    /// drivers/infiniband/hw/mlx5/mr.c: a DMA handle wins, then what the exporter says; direct mode, where the index is
    /// the tag's low byte and 0 means none.
    func takeHint(_ revision: TPHRevision?) {
        if let dmaHandle {
            hint = (dmaHandle.hint, UInt8(truncatingIfNeeded: dmaHandle.tag))
            return
        }
        let width: Int
        switch domain.context.nic.requester {
        case .none: return
        case .tph: width = 8
        case .extended: width = 16
        }
        guard let revision, let metadata = buffer?.metadata, let tag = metadata.tag(for: width, revision) else {
            return
        }
        hint = (metadata.hint & 3, UInt8(truncatingIfNeeded: tag))
    }

    /// include/linux/mlx5/mlx5_ifc.h:mlx5_ifc_mkc_bits: the key's low byte, the domain, start and length, the hint.
    var keyContext: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        func put(_ value: UInt64, at place: Int, count: Int) {
            for index in 0..<count {
                bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - index)))
            }
        }
        bytes[7] = UInt8(truncatingIfNeeded: key)
        put(UInt64(domain.number), at: 13, count: 3)
        put(start, at: 16, count: 8)
        put(length, at: 24, count: 8)
        if let hint {
            bytes[60] = 0x04 | hint.ph & 3
            bytes[61] = hint.index
        }
        return bytes
    }
}
