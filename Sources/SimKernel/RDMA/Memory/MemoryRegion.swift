import CKernel
import Glibc
import Kernel

/// A registered memory region and its memory key.
final class MemoryRegion: Importer {
    let domain: ProtectionDomain
    /// The address that work requests have for its first byte.
    let start: UInt64
    let length: UInt64
    let access: Access
    /// Where it is in this process; 0 for a dma-buf.
    let memory: UInt64
    /// Its pinned pages, of host memory without on-demand paging.
    let pages: PinnedPages?
    let buffer: DMABuf?
    /// Where it starts in the dma-buf.
    let offset: UInt64
    let dmaHandle: DMAHandle?
    /// The device memory (ibv_dm) that it is of; nil for other memory.
    let device: DeviceMemory?
    private let isPinned: Bool
    /// Whether the memory key asks for relaxed ordering.
    let isRelaxed: Bool
    /// The hint of the memory key, read once at registration.
    private(set) var hint: (ph: UInt8, index: UInt16)?
    /// The entry of the steering table that is given back with the region; nil for none.
    private var entry: UInt16?
    /// Set by a revocation where the driver cannot map again.
    private(set) var isDead = false
    var slot = -1
    var key: UInt32 = 0
    /// Memory windows that are bound to it.
    var windows = 0
    /// The bus address of host memory's first byte.
    var dmaAddress: UInt64 = 0

    init(
        _ domain: ProtectionDomain, start: UInt64, length: UInt64, access: Access, memory: UInt64 = 0,
        pages: PinnedPages? = nil, buffer: DMABuf? = nil, offset: UInt64 = 0,
        handle: DMAHandle? = nil, isPinned: Bool = false, device: DeviceMemory? = nil
    ) {
        self.device = device
        self.domain = domain
        self.start = start
        self.length = length
        self.access = access
        self.memory = memory
        self.pages = pages
        self.buffer = buffer
        self.offset = offset
        dmaHandle = handle
        self.isPinned = isPinned
        // hw/mlx5/mr.c:reg_user_mr_dmabuf_by_data_direct leaves it out of the data direct function's key.
        isRelaxed = access.contains(.relaxedOrdering) && domain.context.nic.driver.asksForRelaxedOrdering && !isPinned
    }

    deinit {
        buffer?.detach(self)
        if let entry { hca.steering?.giveBack(entry) }
    }

    private var hca: HCA { domain.context.hca }

    /// Pinned regions cannot (core/umem_dmabuf.c:ib_umem_dmabuf_get_pinned); irdma's can.
    var canInvalidate: Bool { hca.nic.driver.canInvalidate && !isPinned }

    /// hw/mlx5/mr.c:mlx5_ib_dmabuf_invalidate_cb: the key stays, with its hint; the next page fault maps again and asks
    /// the exporter nothing. hw/irdma/verbs.c:irdma_umem_dmabuf_revoke
    func invalidate() { if hca.nic.driver.diesWhenInvalidated { isDead = true } }

    /// Whether the NIC's next access finds memory. Memory that VFIO exported may be revoked.
    var isReachable: Bool {
        guard !isDead, let buffer else { return buffer == nil }
        guard let exported = buffer as? VFIODMABuf else { return true }
        return exported.address(at: offset) != nil
    }

    /// hw/mlx5/mr.c: a DMA handle wins; else the exporter is asked for a tag of the requester's own namespace. Whatever
    /// fails leaves a region without hint.
    func takeHint(_ revision: TPHRevision?) {
        if let dmaHandle {
            hint = (dmaHandle.hint, dmaHandle.index)
            return
        }
        guard let steering = hca.steering, let revision, let metadata = buffer?.metadata,
            let tag = try? metadata.tag(for: steering.requester == .extended ? 16 : 8, revision),
            let index = try? steering.take(tag)
        else { return }
        hint = (metadata.hint & 3, index)
        if revision.givesTagsBack { entry = index }
    }

    var keyKind: FRMRPools.Kind {
        FRMRPools.Kind(
            ph: hint?.ph, index: hint?.index ?? 0, access: access,
            pages: (((start & 4095) + length + 4095) >> 12).nextPowerOfTwo, isBuffer: buffer != nil)
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
            bytes[61] = UInt8(truncatingIfNeeded: hint.index)
        }
        return bytes
    }
}
