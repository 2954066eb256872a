import CKernel
import Glibc
import Kernel

/// VFIO_DEVICE_FEATURE.
extension VFIODevice {
    /// The operation bits of one request, and what its data holds.
    struct FeatureCall {
        let argsz: UInt32
        let operation: UInt32
        let user: UserMemory

        var isGet: Bool { operation & UInt32(VFIO_DEVICE_FEATURE_GET) != 0 }
        var isSet: Bool { operation & UInt32(VFIO_DEVICE_FEATURE_SET) != 0 }
        var isProbe: Bool { operation & UInt32(VFIO_DEVICE_FEATURE_PROBE) != 0 }

        /// include/linux/vfio.h:vfio_check_feature. False where nothing is left to do (PROBE).
        func check(get: Bool = false, set: Bool = false, size: Int) throws(Errno) -> Bool {
            guard get || !isGet else { throw Errno(EINVAL) }
            guard set || !isSet else { throw Errno(EINVAL) }
            if isProbe { return false }
            guard isGet || isSet else { throw Errno(EINVAL) }
            guard Int(argsz) - MemoryLayout<vfio_device_feature>.size >= size else { throw Errno(EINVAL) }
            return true
        }

        func load<Structure: BitwiseCopyable>(_ type: Structure.Type) throws(Errno) -> Structure {
            try user.load(type, at: UInt64(MemoryLayout<vfio_device_feature>.size))
        }
    }

    /// VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, newer than the headers that check-uapi compares with.
    private static let precopyInfo = 12

    /// drivers/vfio/vfio_main.c:vfio_ioctl_device_feature
    func feature(_ user: UserMemory) throws(Errno) -> Int {
        let header = try user.load(vfio_device_feature.self)
        guard header.argsz >= UInt32(offsetofend_vfio_device_feature_flags) else { throw Errno(EINVAL) }
        let operations = UInt32(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE)
        guard header.flags & ~(UInt32(VFIO_DEVICE_FEATURE_MASK) | operations) == 0 else { throw Errno(EINVAL) }
        let call = FeatureCall(argsz: header.argsz, operation: header.flags & operations, user: user)
        guard call.isProbe || !(call.isGet && call.isSet) else { throw Errno(EINVAL) }
        let number = header.flags & UInt32(VFIO_DEVICE_FEATURE_MASK)
        if let revision = kernel.topology.tph, number == kernel.topology.tphFeature, servesTPH {
            return try setTPH(call, revision)
        }
        switch Int(number) {
        // vfio_pci_core_feature_token: no function here is an SR-IOV one
        case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: throw Errno(ENOTTY)
        case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: return try enterLowPower(call)
        case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: return try enterLowPowerWithWakeup(call)
        case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: return try exitLowPower(call)
        case VFIO_DEVICE_FEATURE_DMA_BUF: return try exportDMABuf(call)
        // vfio_ioctl_device_feature_mig_precopy_info_v2: EINVAL without migration, even for PROBE
        case VFIODevice.precopyInfo: throw Errno(EINVAL)
        default: throw Errno(ENOTTY)
        }
    }

    // vfio_pci_core.c:vfio_pci_core_pm_entry
    private func enterLowPower(_ call: FeatureCall) throws(Errno) -> Int {
        guard try call.check(set: true, size: 0) else { return 0 }
        return try enterLowPower(waking: nil)
    }

    // vfio_pci_runtime_pm_entry: dma-bufs are revoked before the state is checked
    private func enterLowPower(waking event: EventFile?) throws(Errno) -> Int {
        moveBuffers(revoked: true)
        guard !isLowPower else { throw Errno(EINVAL) }
        isLowPower = true
        wakeEvent = event
        refresh()
        return 0
    }

    // vfio_pci_core.c:vfio_pci_core_pm_entry_with_wakeup, fs/eventfd.c:eventfd_ctx_fdget
    private func enterLowPowerWithWakeup(_ call: FeatureCall) throws(Errno) -> Int {
        guard try call.check(set: true, size: 8) else { return 0 }
        let descriptor = try call.load(Int32.self)
        guard descriptor >= 0 else { throw Errno(EINVAL) }
        guard let event = try kernel.file(descriptor) as? EventFile else { throw Errno(EINVAL) }
        return try enterLowPower(waking: event)
    }

    // vfio_pci_core.c:vfio_pci_core_pm_exit
    private func exitLowPower(_ call: FeatureCall) throws(Errno) -> Int {
        guard try call.check(set: true, size: 0) else { return 0 }
        isLowPower = false
        wakeEvent = nil
        restoreBuffers()
        return 0
    }

    /// drivers/vfio/pci/vfio_pci_dmabuf.c:vfio_pci_core_feature_dma_buf
    private func exportDMABuf(_ call: FeatureCall) throws(Errno) -> Int {
        guard try call.check(get: true, size: MemoryLayout<vfio_device_feature_dma_buf>.size) else { return 0 }
        let request = try call.load(vfio_device_feature_dma_buf.self)
        guard request.nr_ranges > 0, request.flags == 0 else { throw Errno(EINVAL) }
        // vfio_pci_core_barmap: not only the ROM and beyond, but empty BARs too
        guard request.region_index < UInt32(VFIO_PCI_ROM_REGION_INDEX) else { throw Errno(ENODEV) }
        guard let bar = function.bar(Int(request.region_index)) else { throw Errno(ENODEV) }
        // memdup_array_user: kmalloc has a limit; argsz is not compared with the count
        guard request.nr_ranges <= 262_144 else { throw Errno(ENOMEM) }
        let ranges = try loadRanges(call.user, Int(request.nr_ranges))
        let size = try VFIODevice.total(ranges)
        // pcim_p2pdma_provider: ports are not memory
        guard bar.kind != .io else { throw Errno(EINVAL) }
        try checkBounds(ranges, bar)
        let flags = Int32(bitPattern: request.open_flags)
        let buffer = VFIODMABuf(self, index: bar.index, ranges: ranges, size: size, flags: flags)
        remember(buffer)
        return kernel.install(buffer, closesOnExec: flags & O_CLOEXEC != 0)
    }

    private func loadRanges(_ user: UserMemory, _ count: Int) throws(Errno) -> [vfio_region_dma_range] {
        let size = MemoryLayout<vfio_region_dma_range>.stride
        let head = MemoryLayout<vfio_device_feature>.size + MemoryLayout<vfio_device_feature_dma_buf>.size
        let bytes = try user.bytes(at: UInt64(head), count: count * size)
        return bytes.withUnsafeBytes { bytes in
            (0..<count).map {
                bytes.loadUnaligned(fromByteOffset: $0 * size, as: vfio_region_dma_range.self)
            }
        }
    }

    // validate_dmabuf_input
    private static func total(_ ranges: [vfio_region_dma_range]) throws(Errno) -> UInt64 {
        var size: UInt64 = 0
        for range in ranges {
            guard range.length != 0 else { throw Errno(EINVAL) }
            guard range.offset.isPageAligned else { throw Errno(EINVAL) }
            guard range.length.isPageAligned else { throw Errno(EINVAL) }
            let (sum, overflow) = size.addingReportingOverflow(range.length)
            guard !overflow else { throw Errno(EINVAL) }
            size = sum
        }
        guard size <= UInt64(Int64.max) else { throw Errno(EINVAL) }
        return size
    }

    // vfio_pci_core_fill_phys_vec
    private func checkBounds(_ ranges: [vfio_region_dma_range], _ bar: Topology.BAR) throws(Errno) {
        let base = function.addresses[bar.index] ?? 0
        for range in ranges {
            let (start, first) = base.addingReportingOverflow(range.offset)
            let (end, second) = start.addingReportingOverflow(range.length)
            guard !first, !second else { throw Errno(EOVERFLOW) }
            guard end - base <= bar.size else { throw Errno(EINVAL) }
        }
    }
}
