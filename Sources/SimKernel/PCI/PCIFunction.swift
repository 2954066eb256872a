import Glibc
import Kernel

/// A PCI function: its configuration space and what is behind its BARs.
final class PCIFunction {
    let device: Topology.Device
    var config: ConfigSpace
    let engine: EduEngine?
    /// Bus address of each BAR, by index.
    let addresses: [Int: UInt64]
    private var memories: [Int: BARMemory] = [:]
    /// What its DMA goes through; nil while no IOMMU domain is attached. A driver of the kernel has the group's default one.
    var space: AddressSpace? {
        // drivers/iommu/intel/iommu.c: translations are asked for while there is a domain
        didSet { config.isATSEnabled = space != nil }
    }
    /// The bound driver; nil for none.
    var driver: String? {
        didSet {
            isVFIO = driver?.hasPrefix("vfio") == true
            let ours = ConfigSpace.memoryEnable | ConfigSpace.busMasterEnable
            if !isVFIO {
                // A host driver enables the device, and disables it when it goes (pci_disable_device).
                config.command = driver == nil ? config.command & ~ConfigSpace.busMasterEnable : config.command | ours
                space = driver == nil ? nil : AddressSpace()
            }
        }
    }
    /// sysfs driver_override: the one driver that may bind it; nil for any driver that knows its id.
    var driverOverride: String?
    /// sysfs sriov_drivers_autoprobe: whether drivers bind new virtual functions by themselves.
    var probesVirtualFunctions = true
    /// Whether VFIO has it.
    private(set) var isVFIO: Bool

    init(_ device: Topology.Device, slot: Int, _ windows: inout Windows) {
        self.device = device
        addresses = windows.assign(device.bars, slot: slot)
        config = ConfigSpace(device, addresses)
        driver = device.driver
        // vfio-pci has no id table: the function was bound to it by driver_override.
        let isOverridden = device.driver != nil && device.driver != device.nativeDriver
        driverOverride = isOverridden ? device.driver : nil
        isVFIO = device.driver?.hasPrefix("vfio") == true
        if device.driver != nil, !isVFIO { space = AddressSpace() }
        if case .edu(let mask) = device.kind { engine = EduEngine(dmaMask: mask) } else { engine = nil }
        engine?.onInterrupt = { [unowned self] in
            config.hasInterrupt = assertsLine
            if engine?.isInterrupting == true { onInterrupt?() }
        }
    }

    /// Called when the function interrupts; the driver that has it sets this.
    var onInterrupt: (() -> Void)?
    /// Whether it asserts INTx; never while MSI or MSI-X is enabled.
    var assertsLine: Bool { engine?.isInterrupting == true && !config.isMSIEnabled }

    func bar(_ index: Int) -> Topology.BAR? {
        addresses[index] == nil ? nil : device.bars.first { $0.index == index }
    }

    func memory(_ bar: Topology.BAR) throws(Errno) -> BARMemory {
        if let memory = memories[bar.index] { return memory }
        let memory = try BARMemory(size: bar.size)
        for part in bar.contents { part.bytes.withUnsafeBytes { memory.write(at: UInt64(part.at), $0) } }
        memories[bar.index] = memory
        return memory
    }

    /// Whether it answers requests to its memory.
    var decodesMemory: Bool { config.command & ConfigSpace.memoryEnable != 0 && config.powerState < 3 }
    var busMaster: Bool { config.command & ConfigSpace.busMasterEnable != 0 }
}

/// Bus addresses. Every function has windows of its own, so no BAR shares a page with another (a sub-page BAR stays
/// mappable); what does not fit there comes above all windows.
struct Windows {
    /// Where memory BARs begin, below and above 4 GiB.
    static let low: UInt64 = 0x8000_0000
    static let high: UInt64 = 1 << 40
    private static let lowSize: UInt64 = 1 << 22
    private static let highSize: UInt64 = 1 << 36

    private var aboveLow: UInt64
    private var aboveHigh: UInt64

    init(functions: Int) {
        aboveLow = Windows.low + UInt64(min(functions, 0x200)) * Windows.lowSize
        aboveHigh = Windows.high + UInt64(functions) * Windows.highSize
    }

    /// The bus address of each BAR, by index.
    mutating func assign(_ bars: [Topology.BAR], slot: Int) -> [Int: UInt64] {
        var low = Windows.low + UInt64(slot & 0x1ff) * Windows.lowSize
        var high = Windows.high + UInt64(slot) * Windows.highSize
        let (lowEnd, highEnd) = (low + Windows.lowSize, high + Windows.highSize)
        var port = 0x1000 + UInt64(slot & 0x1ff) << 6
        var result: [Int: UInt64] = [:]
        for bar in bars where bar.size > 0 && bar.size <= 1 << 46 && (0..<6).contains(bar.index) {
            let alignment = max(bar.size.nextPowerOfTwo, bar.kind == .io ? 4 : 4096)
            func take(_ cursor: inout UInt64, before end: UInt64 = .max) -> UInt64? {
                let start = (cursor + alignment - 1) & ~(alignment - 1)
                guard start + alignment <= end else { return nil }
                cursor = start + alignment
                return start
            }
            switch (bar.kind, bar.is64Bit) {
            case (.io, _): result[bar.index] = take(&port)
            case (_, true): result[bar.index] = take(&high, before: highEnd) ?? take(&aboveHigh)
            case (_, false): result[bar.index] = take(&low, before: lowEnd) ?? take(&aboveLow)
            }
        }
        return result
    }
}

extension UInt64 {
    /// The least power of two that is not smaller; the top bit for anything above it.
    var nextPowerOfTwo: UInt64 {
        guard self > 1 else { return 1 }
        let bits = 64 - (self - 1).leadingZeroBitCount
        return 1 << UInt64(Swift.min(bits, 63))
    }
}
