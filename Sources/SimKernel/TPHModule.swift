import Kernel

/// The lab's module vfio_tph, where a bench has the feature from it and not from a kernel with the series: it serves the
/// functions bound to it, shows what it stores in debugfs, and forgets the hints of a device that is closed.
/// scripts/lab/vfio-tph
final class TPHModule {
    /// The name of the driver.
    static let driver = "vfio_tph"

    private struct WeakBuffer {
        weak var buffer: RegionBuffer?
    }
    /// In the order in which they got their hints.
    private var hinted: [WeakBuffer] = []

    /// nil where no function of the bench is bound to it.
    init?(_ topology: Topology) {
        guard topology.tph != nil, topology.devices.contains(where: { $0.driver == TPHModule.driver }) else {
            return nil
        }
    }

    /// hints.c:store
    func store(_ metadata: TPHMetadata?, in buffer: RegionBuffer) {
        hinted.removeAll { $0.buffer == nil || (metadata == nil && $0.buffer === buffer) }
        if metadata != nil, buffer.metadata == nil { hinted.append(WeakBuffer(buffer: buffer)) }
        buffer.metadata = metadata
    }

    /// hints.c:dmabufs_show: inode, size, flags, the two tags and the hint; those of released dma-bufs are gone.
    var text: String {
        hinted.compactMap { entry in
            guard let buffer = entry.buffer, let hint = buffer.metadata else { return nil }
            return "\(buffer.inode) \(buffer.size) \(hint.flags) \(hint.tag) \(hint.extended) \(hint.hint)\n"
        }.joined()
    }

    /// Functions of the kernel that it brings, and their modules.
    static func symbols(_ revision: TPHRevision) -> [(name: String, module: String?)] {
        [("vfio_pci_core_feature_dma_buf_tph", driver)]
            + (revision.gate == .requester ? [("pcie_tph_supported", "pcie_tph")] : [])
    }
}
