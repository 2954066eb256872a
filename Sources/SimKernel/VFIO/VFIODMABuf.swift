import CKernel
import Glibc
import Kernel

/// A dma-buf that vfio-pci exported: ranges of one BAR.
final class VFIODMABuf: DMABuf {
    let index: Int
    let ranges: [vfio_region_dma_range]
    /// nil once the device was closed for the last time.
    private(set) unowned var owner: VFIODevice?
    private(set) var isRevoked: Bool
    /// Its index among its device's buffers.
    var slot = 0
    /// Whether a SET was ever accepted (v4 takes one).
    var wasSet = false

    init(_ owner: VFIODevice, index: Int, ranges: [vfio_region_dma_range], size: UInt64, flags: Int32) {
        self.owner = owner
        self.index = index
        self.ranges = ranges
        isRevoked = !owner.memoryEnabled
        super.init(owner.kernel, size: size, exporter: "vfio_pci_core", flags: flags)
    }

    deinit { owner?.forgetBuffer(at: slot) }

    /// drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_dma_buf_attach
    override func attach(_ importer: any Importer) throws(Errno) {
        guard importer.allowsPeerToPeer else { throw Errno(EOPNOTSUPP) }
        guard !isRevoked, owner != nil else { throw Errno(ENODEV) }
        guard importer.canInvalidate else { throw Errno(EOPNOTSUPP) }
        try super.attach(importer)
    }

    /// drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_dma_buf_move. Importers are notified on revocation and on return.
    func move(revoked: Bool) {
        guard revoked != isRevoked else { return }
        if revoked { isRevoked = true }
        invalidateImporters()
        isRevoked = revoked
    }

    /// drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_dma_buf_cleanup
    func abandon() {
        move(revoked: true)
        disown()
    }

    /// The device is being deallocated: do not call it any more.
    func disown() { owner = nil }

    /// Where in the BAR the byte at `offset` lies, and how many bytes follow it there.
    func address(at offset: UInt64) -> (address: BARAddress, count: UInt64)? {
        guard let owner, !isRevoked else { return nil }
        var rest = offset
        for range in ranges {
            guard rest >= range.length else {
                let address = BARAddress(device: owner, index: index, offset: range.offset + rest)
                return (address, range.length - rest)
            }
            rest -= range.length
        }
        return nil
    }
}
