import CKernel
import Glibc
import Kernel

/// A dma-buf as the device of a kernel driver sees it (struct sg_table).
struct DMAMapping {
    /// struct scatterlist: consecutive bytes for the device.
    struct Entry {
        let address: UInt64
        let length: UInt64
    }
    let entries: [Entry]
    /// The IOVAs that the IOMMU translates for it; nil where it holds bus addresses.
    fileprivate var translated: ClosedRange<UInt64>?

    /// A range cut into entries of at most `limit` bytes.
    fileprivate static func entries(_ address: UInt64, _ length: UInt64, limit: UInt64) -> [Entry] {
        stride(from: 0, to: length, by: Int(limit)).map {
            Entry(address: address &+ $0, length: min(limit, length - $0))
        }
    }

    /// Where the device finds the byte at `offset`, and how many follow it there.
    func find(_ offset: UInt64) -> (address: UInt64, count: UInt64)? {
        var rest = offset
        for entry in entries {
            if rest < entry.length { return (entry.address &+ rest, entry.length - rest) }
            rest -= entry.length
        }
        return nil
    }
}

/// DMA of functions that a driver of the kernel has.
extension SimKernel {
    /// The most bytes in one entry for peer memory: whole pages below 4 GiB.
    /// drivers/dma-buf/dma-buf-mapping.c:fill_sg_entry
    private static let peerLimit: UInt64 = 0xffff_f000
    /// The most bytes in one entry for host memory, where the driver did not raise the limit (dma_set_max_seg_size).
    /// drivers/pci/probe.c:pci_device_add
    private static let memoryLimit: UInt64 = 1 << 16
    /// IOVAs that may be used: not where BARs are, as a switch would take those for a peer's address.
    /// drivers/iommu/dma-iommu.c:iova_reserve_pci_windows
    private var translatable: [iommu_iova_range] {
        [
            iommu_iova_range(start: 0, last: Windows.low - 1),
            iommu_iova_range(
                start: 1 << 32, last: min(Windows.high, 1 << UInt64(min(topology.apertureBits, 63))) - 1),
        ]
    }

    /// drivers/dma-buf/dma-buf.c:dma_buf_map_attachment
    func map(_ buffer: DMABuf, for client: PCIFunction) throws(Errno) -> DMAMapping {
        guard let exported = buffer as? VFIODMABuf else { return try mapMemory(buffer, client) }
        let route = try route(to: exported, from: client)
        guard let base = exported.owner?.function.addresses[exported.index] else { throw Errno(ENODEV) }
        // dma-buf-mapping.c:dma_buf_phys_vec_to_sgt: an entry a range, or one of all where an IOMMU makes it so
        guard route == .throughHostBridge, topology.iommuTranslates else {
            return DMAMapping(
                entries: exported.ranges.flatMap {
                    DMAMapping.entries(base &+ $0.offset, $0.length, limit: SimKernel.peerLimit)
                })
        }
        let pages = Pages(.buffer(exported), writeable: true)
        return try translate([(pages, exported.size)], for: client, limit: SimKernel.peerLimit)
    }

    /// drivers/dma-buf/udmabuf.c:map_udmabuf, heaps/system_heap.c:system_heap_map_dma_buf
    private func mapMemory(_ buffer: DMABuf, _ client: PCIFunction) throws(Errno) -> DMAMapping {
        guard let memory = buffer as? MemoryDMABuf else { throw notModelled("map of a \(buffer.exporter)", EINVAL) }
        let parts = memory.parts.map { (Pages(.file($0.file, at: $0.offset), writeable: true), $0.length) }
        return try translate(parts, for: client, limit: SimKernel.memoryLimit)
    }

    /// Consecutive addresses for these parts. drivers/iommu/dma-iommu.c:iommu_dma_alloc_iova
    private func translate(_ parts: [(pages: Pages, length: UInt64)], for client: PCIFunction, limit: UInt64)
        throws(Errno) -> DMAMapping
    {
        guard let space = client.space else { throw notModelled("a map for a function without a domain", EINVAL) }
        let length = parts.reduce(0) { $0 + $1.length }
        let start = try space.allocate(length, start: 0, alignment: 4096, ranges: translatable)
        var iova = start
        for part in parts {
            space.insert(iova, part.length, Area(pages: part.pages, offset: 0, readable: true, writeable: true))
            iova += part.length
        }
        return DMAMapping(
            entries: DMAMapping.entries(start, length, limit: limit), translated: start...(start + (length - 1)))
    }

    /// drivers/dma-buf/dma-buf.c:dma_buf_unmap_attachment
    func unmap(_ mapping: DMAMapping, for client: PCIFunction) {
        guard let range = mapping.translated, let space = client.space else { return }
        space.remove(space.areas.overlapping(range.lowerBound, range.upperBound))
    }

    /// Moves bytes between a function and the memory at its address: a peer's BAR if its requests go straight there, else
    /// what the IOMMU translates the address to. Returns what stopped it, or nil.
    func transfer(
        _ bytes: UnsafeMutableRawBufferPointer, at address: UInt64, toMemory: Bool, by requester: PCIFunction
    ) -> String? {
        if let target = peer(at: address, bytes.count, of: requester) {
            reach(target, bytes, toMemory: toMemory, by: requester)
            return nil
        }
        guard let space = requester.space else { return "no domain" }
        return space.transfer(bytes, iova: address, toMemory: toMemory, by: requester, self)
    }

    /// The BAR where a bus address is, if a switch passes the request there, or nothing translates it.
    private func peer(at address: UInt64, _ count: Int, of requester: PCIFunction) -> BARAddress? {
        let isTranslated = topology.iommuTranslates || requester.isVFIO
        for device in groups.values.flatMap(\.devices) where device.function !== requester {
            let target = device.function
            for (index, base) in target.addresses where address >= base {
                guard let bar = target.bar(index), UInt64(count) <= bar.size,
                    address - base <= bar.size - UInt64(count),
                    !isTranslated
                        || routes.passesStraight(from: requester.device.address, to: target.device.address)
                else { continue }
                return BARAddress(device: device, index: index, offset: address - base)
            }
        }
        return nil
    }
}
