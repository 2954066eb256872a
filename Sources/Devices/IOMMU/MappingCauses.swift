import CKernel
import Glibc
import Kernel

/// What was to be mapped, or unmapped, for DMA, and why that may have been refused.
struct MappingCauses {
    /// What must be whole pages: names and values.
    var aligned: [(name: String, value: UInt64)]
    var length: UInt64
    /// nil where the kernel chooses.
    var iova: UInt64?
    /// Whether devices may read or write; nil where it is about unmapping.
    var hasAccess: Bool?

    /// What every kind of mapping is held to.
    private func common(_ alignment: UInt64) -> Causes {
        var causes = Causes()
        causes.decide(length == 0, "the length is 0", else: "the length is not 0")
        if let hasAccess {
            causes.decide(
                !hasAccess, "devices may neither read nor write it: set read or write", else: "devices may use it")
        }
        let odd = aligned.filter { $0.value % max(alignment, 1) != 0 }
        let names = aligned.map(\.name).joined(separator: " and ")
        causes.decide(
            !odd.isEmpty,
            odd.map { "\($0.name) \(hex($0.value))" }.joined(separator: " and ")
                + " \(odd.count == 1 ? "is" : "are") not whole pages of \(hex(alignment)) bytes",
            else: "\(names) \(aligned.count == 1 ? "is" : "are") whole pages")
        return causes
    }

    /// Where the addresses are that may be used, and whether all of the mapping is there.
    private func checkRange(
        in ranges: [iommu_iova_range], _ where: String, _ causes: inout Causes
    ) {
        guard let iova, length > 0, !ranges.isEmpty else { return }
        let (last, wraps) = iova.addingReportingOverflow(length - 1)
        let list = ranges.map { "\(hex($0.start)) to \(hex($0.last))" }
        causes.decide(
            wraps || !ranges.contains { $0.start <= iova && last <= $0.last },
            "IOVA \(hex(iova)) to \(hex(last)) is not among the usable ones "
                + "(\(list.joined(separator: ", ")); \(`where`)): beyond what the IOMMU translates, or reserved (MSI)",
            else: "the IOMMU translates these addresses")
    }

    /// Of IOMMU_IOAS_MAP and _MAP_FILE in `ioas`: EINVAL. `size` is the dma-buf's.
    func hint(_ ioas: borrowing IOAS, start: UInt64? = nil, size: UInt64? = nil) -> String {
        let known = try? ioas.ranges()
        var causes = common(known?.alignment ?? 4096)
        if let start, let size {
            let (end, overflow) = start.addingReportingOverflow(length)
            causes.decide(
                overflow || end > size,
                "offset \(hex(start)) and length \(hex(length)) reach outside the dma-buf, "
                    + "which has \(hex(size)) bytes",
                else: "the range lies inside the dma-buf")
        }
        if let known { checkRange(in: known.ranges, "ioas:iova_ranges()", &causes) }
        causes.leave(
            "the memory's own address is not aligned as the IOVA is, or an attached device's IOMMU has larger pages")
        return causes.hint
    }

    /// Of VFIO_IOMMU_MAP_DMA: EINVAL. `hasDevice` where one has joined the container.
    func hint(container descriptor: Int32, hasDevice: Bool, _ kernel: any Kernel) -> String {
        guard hasDevice else {
            return "no device has joined the container, so it has no IOMMU yet: open one first, "
                + "vfio.open(address, { container = container })"
        }
        var causes = common(4096)
        let ranges = MappingCauses.ranges(of: descriptor, kernel)
        checkRange(in: ranges, "VFIO_IOMMU_GET_INFO", &causes)
        causes.leave(
            ranges.isEmpty
                ? "the addresses are beyond what the IOMMU translates, or reserved (MSI)"
                : "an IOMMU with larger pages than the processor's")
        return causes.hint
    }

    /// Of VFIO_IOMMU_UNMAP_DMA: EINVAL.
    func unmapHint(hasDevice: Bool) -> String {
        guard hasDevice else { return "no device has joined the container, so nothing is mapped in it" }
        var causes = common(4096)
        causes.leave("the range begins or ends inside a mapping: a mapping is taken back whole, as it was made")
        return causes.hint
    }

    /// Of VFIO_IOMMU_DIRTY_PAGES with GET_BITMAP: EINVAL.
    func dirtyHint(hasDevice: Bool) -> String {
        guard hasDevice else { return "no device has joined the container, so nothing is mapped in it" }
        var causes = common(4096)
        causes.leave(
            "tracking was not started (track_dirty_pages(true)), or the range begins or ends inside a mapping: each is "
                + "asked for whole, as it was made")
        return causes.hint
    }

    /// The usable addresses of a container: a capability of VFIO_IOMMU_GET_INFO. Empty where the kernel does not give it.
    private static func ranges(of descriptor: Int32, _ kernel: any Kernel) -> [iommu_iova_range] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let size = UInt32(bytes.count)
        let result = bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: size, as: UInt32.self)
            return kernel.ioctl(descriptor, UInt(VFIO_IOMMU_GET_INFO), .memory($0))
        }
        guard result == 0 else { return [] }
        return bytes.withUnsafeBytes { bytes in
            func load<Value: BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value? {
                guard offset >= 0, offset + MemoryLayout<Value>.size <= bytes.count else { return nil }
                return bytes.loadUnaligned(fromByteOffset: offset, as: type)
            }
            // Each capability: id, version, offset of the next one.
            let head = MemoryLayout<vfio_info_cap_header>.size
            var offset = Int(load(0, vfio_iommu_type1_info.self)?.cap_offset ?? 0)
            for _ in 0..<16 where offset >= offsetofend_vfio_iommu_type1_info_cap_offset {
                guard let header = load(offset, vfio_info_cap_header.self) else { return [] }
                if Int(header.id) == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, let count = load(offset + head, UInt32.self)
                {
                    // struct vfio_iommu_type1_info_cap_iova_range: the count, a reserved word, the ranges.
                    return (0..<Int(min(count, 128))).compactMap { index in
                        load(offset + head + 8 + MemoryLayout<iommu_iova_range>.stride * index, iommu_iova_range.self)
                    }
                }
                offset = Int(header.next)
            }
            return []
        }
    }
}
