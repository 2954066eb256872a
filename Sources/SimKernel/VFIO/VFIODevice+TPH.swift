import CKernel
import Glibc
import Kernel

/// VFIO_DEVICE_FEATURE_DMA_BUF_TPH of the posted revisions. They differ in which checks they have, and in what order.
extension VFIODevice {
    /// drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_core_feature_dma_buf_tph
    func setTPH(_ call: FeatureCall, _ revision: TPHRevision) throws(Errno) -> Int {
        let layout = revision.layout
        switch revision.gate {
        case .none: break
        case .requester:
            guard function.device.tphRequester || kernel.tphModule?.countsEveryDevice == true else {
                throw Errno(EOPNOTSUPP)
            }
        case .completer: guard function.device.completer != .none else { throw Errno(EOPNOTSUPP) }
        }
        guard try call.check(set: true, size: layout.size) else { return 0 }
        let data = try call.user.bytes(at: 8, count: layout.size)
        let (descriptor, metadata) = TPHMetadata.decode(data, layout)
        let flags = metadata.flags
        guard data[layout.reserved].allSatisfy({ $0 == 0 }) else { throw Errno(EINVAL) }
        guard flags & ~3 == 0 else { throw Errno(EINVAL) }
        guard flags != 0 || revision.acceptsNoFlags else { throw Errno(EINVAL) }
        guard metadata.hint <= 3 || !revision.checksHint else { throw Errno(EINVAL) }
        if revision == .v7 {
            guard function.device.completer != .none else { throw Errno(EOPNOTSUPP) }
        }
        guard flags & 2 == 0 || !revision.checksNamespace || function.device.completer == .extended else {
            throw Errno(EOPNOTSUPP)
        }
        // dma_buf_get
        guard let buffer = try kernel.file(descriptor) as? VFIODMABuf else {
            throw Errno(EINVAL)
        }
        guard buffer.owner === self else { throw Errno(EINVAL) }
        guard !revision.isWrittenOnce || !buffer.wasSet else { throw Errno(EBUSY) }
        buffer.wasSet = true
        setHint(flags == 0 ? nil : metadata, of: buffer)
        return 0
    }

    private func setHint(_ metadata: TPHMetadata?, of buffer: VFIODMABuf) {
        if let module = kernel.tphModule { module.store(metadata, in: buffer) } else { buffer.metadata = metadata }
    }

    /// Whether this function has the feature: every function with the series, with the lab's module those bound to it.
    var servesTPH: Bool { kernel.tphModule == nil || function.driver == TPHModule.driver }

    /// scripts/lab/vfio-tph/driver.c:tph_close_device; a hint of the series lives as long as its dma-buf
    func forgetHints(of buffers: [VFIODMABuf]) {
        guard let module = kernel.tphModule else { return }
        for buffer in buffers { module.store(nil, in: buffer) }
    }
}

extension TPHMetadata {
    /// The fields of the feature's data. v2 has no flags: what it carries counts as flag 1.
    fileprivate static func decode(_ data: [UInt8], _ layout: TPHRevision.Layout)
        -> (descriptor: Int32, metadata: TPHMetadata)
    {
        data.withUnsafeBytes { bytes in
            let flags = layout.flags.map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self) } ?? 1
            let tag =
                layout.tagWidth == 2
                ? bytes.loadUnaligned(fromByteOffset: layout.tag, as: UInt16.self) : UInt16(bytes[layout.tag])
            let extended = layout.extended.map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt16.self) } ?? 0
            let metadata = TPHMetadata(flags: flags, tag: tag, extended: extended, hint: bytes[layout.hint])
            return (bytes.loadUnaligned(as: Int32.self), metadata)
        }
    }
}
