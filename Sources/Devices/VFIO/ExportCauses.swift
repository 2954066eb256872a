import CKernel
import Kernel

/// Why a region, or ranges of it, cannot be exported. drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_core_feature_dma_buf,
/// validate_dmabuf_input, vfio_pci_core_fill_phys_vec
extension VFIODevice {
    /// nil where the table's hint says as much.
    mutating func exportHint(_ errno: Errno, _ index: UInt32, _ ranges: [vfio_region_dma_range]) -> String? {
        switch errno.name {
        case "ENODEV": return noMemory(index)
        case "EINVAL": return invalid(index, ranges)
        default: return nil
        }
    }

    private func noMemory(_ index: UInt32) -> String {
        let memory = "; a memory BAR is exported, region 0 to 5"
        switch index {
        case ..<UInt32(VFIO_PCI_ROM_REGION_INDEX):
            return "region \(index) is empty: the device has no such BAR" + memory
        case UInt32(VFIO_PCI_ROM_REGION_INDEX): return "region \(index) is the ROM" + memory
        case UInt32(VFIO_PCI_CONFIG_REGION_INDEX): return "region \(index) is the configuration space" + memory
        case UInt32(VFIO_PCI_VGA_REGION_INDEX): return "region \(index) is VGA's" + memory
        default: return "there is no region \(index)" + memory
        }
    }

    private mutating func invalid(_ index: UInt32, _ ranges: [vfio_region_dma_range]) -> String {
        guard !ranges.isEmpty else { return "no range was given: ranges = { { offset = 0, length = \"4K\" } }, say" }
        let size = (try? region(index))?.size
        var causes = Causes()
        func decide(_ what: String, _ excluded: String, _ isBad: (vfio_region_dma_range) -> Bool) {
            let first = ranges.firstIndex(where: isBad)
            let range = first.map { ranges[$0] }
            let named = first.map { ranges.count == 1 ? "the range" : "range \($0 + 1)" } ?? ""
            let shown =
                range.map { "offset \(hex($0.offset)), length \(hex($0.length))" } ?? ""
            causes.decide(first != nil, "\(named) (\(shown)) \(what)", else: excluded)
        }
        decide("is empty", "no range is empty") { $0.length == 0 }
        decide("is not made of whole pages of 0x1000 bytes", "all are whole pages") {
            $0.offset & 4095 != 0 || $0.length & 4095 != 0
        }
        if let size {
            let bytes = "\(hex(size)) bytes"
            decide("reaches outside the region, which has \(bytes)", "all end inside the region's \(bytes)") { range in
                let (end, overflow) = range.offset.addingReportingOverflow(range.length)
                return overflow || end > size
            }
        }
        causes.leave("the region is I/O ports, not memory")
        return causes.hint
    }
}
