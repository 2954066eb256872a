import Glibc
import Kernel

/// The lab's module vfio_tph, which gives a released kernel the TPH feature: it serves the functions bound to it, shows
/// stored hints in debugfs, and drops the hints of a device that is closed.
/// scripts/lab/vfio-tph
final class TPHModule {
    /// The name of the driver.
    static let driver = "vfio_tph"

    private struct WeakBuffer {
        weak var buffer: VFIODMABuf?
    }
    /// In the order in which they got their hints.
    private var hinted: [WeakBuffer] = []
    /// The parameter `requester`: whether v6 takes every device for one that can send hints.
    var countsEveryDevice = true

    /// nil where no function of the bench is bound to it.
    init?(_ topology: Topology) {
        guard topology.tph != nil, topology.devices.contains(where: { $0.driver == TPHModule.driver }) else {
            return nil
        }
    }

    /// hints.c:store
    func store(_ metadata: TPHMetadata?, in buffer: VFIODMABuf) {
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

    /// Its files in sysfs and debugfs.
    func addFiles(_ kernel: SimKernel) {
        kernel.root.directory("sys/kernel/debug/vfio_tph").entries["dmabufs"] = .text { [unowned self] in
            Array(text.utf8)
        }
        let parameters = kernel.root.directory("sys/module/vfio_tph/parameters")
        parameters.entries["requester"] = .device { [unowned self, unowned kernel] (flags) throws(Errno) in
            TPHParameterFile(kernel, self, flags: flags)
        }
    }

    /// Functions of the kernel that it and the modules beside it bring, and their modules.
    static func symbols(_ revision: TPHRevision) -> [(name: String, module: String?)] {
        let own: [(name: String, module: String?)] = [("vfio_pci_core_feature_dma_buf_tph", driver)]
        let completer: [(name: String, module: String?)] = [("pcie_tph_completer_type", "pcie_tph_completer")]
        switch revision {
        case .v2, .v3, .v4, .v5: return own
        case .v6: return own + [("pcie_tph_supported", "pcie_tph")]
        case .v7: return own + completer + [("dma_buf_get_tph", "dma_buf_tph")]
        case .v9, .v10, .v11: return own + completer + [("dma_buf_get_pci_tph", "dma_buf_pci_tph")]
        }
    }
}

/// The module's parameter `requester` in sysfs.
final class TPHParameterFile: TextFile {
    private let module: TPHModule

    init(_ kernel: SimKernel, _ module: TPHModule, flags: Int32) {
        self.module = module
        super.init(
            kernel, "/sys/module/vfio_tph/parameters/requester", flags: flags,
            Array((module.countsEveryDevice ? "Y\n" : "N\n").utf8))
    }

    // kernel/params.c:param_set_bool, lib/kstrtox.c:kstrtobool
    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        let text = String(decoding: bytes.prefix(2), as: UTF8.self).lowercased()
        switch text.first {
        case "y", "t", "1": module.countsEveryDevice = true
        case "n", "f", "0": module.countsEveryDevice = false
        case "o" where text == "on": module.countsEveryDevice = true
        case "o" where text == "of": module.countsEveryDevice = false
        default: throw Errno(EINVAL)
        }
        return bytes.count
    }
}
