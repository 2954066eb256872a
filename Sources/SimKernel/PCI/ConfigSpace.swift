import CKernel
import Kernel

/// A function's configuration space, as hardware shows it.
struct ConfigSpace {
    static let memoryEnable = UInt16(PCI_COMMAND_MEMORY)
    static let busMasterEnable = UInt16(PCI_COMMAND_MASTER)
    /// The offset of the TPH requester capability.
    static let tph = PCI_CFG_SPACE_SIZE
    /// Offsets of the capabilities that every PCI Express function of a bench has.
    private static let power = PCI_STD_HEADER_SIZEOF
    private static let express = 0x60

    private(set) var bytes: [UInt8]
    /// The bits that keep what is written to them.
    private var kept: [UInt8]
    private(set) var map = ConfigMap()
    /// The offset of each capability, by id.
    private var capabilities: [Int: Int] = [:]
    /// The offset of the address translation services (ATS); nil without.
    private(set) var ats: Int?

    /// Offsets of the power management, the MSI, the MSI-X and the PCI Express capability; nil for one that is not there.
    var power: Int? { capabilities[Int(PCI_CAP_ID_PM)] }
    var msi: Int? { capabilities[Int(PCI_CAP_ID_MSI)] }
    var msix: Int? { capabilities[Int(PCI_CAP_ID_MSIX)] }
    var express: Int? { capabilities[Int(PCI_CAP_ID_EXP)] }
    var advancedFeatures: Int? { capabilities[Int(PCI_CAP_ID_AF)] }

    init(_ device: Topology.Device, _ addresses: [Int: UInt64]) {
        bytes = [UInt8](repeating: 0, count: device.configSize)
        kept = bytes
        header(device)
        for bar in device.bars { base(bar, addresses) }
        if device.configSize == PCI_CFG_SPACE_EXP_SIZE {
            self[PCI_STATUS, UInt16.self] = UInt16(PCI_STATUS_CAP_LIST)
            bytes[PCI_CAPABILITY_LIST] = UInt8(ConfigSpace.power)
            powerCapability()
            expressCapability(device)
            if device.tphRequester { hintsCapability() }
            if !device.acs.isEmpty { accessControl(device) }
        }
        for patch in device.config {
            bytes.replaceSubrange(patch.at..<(patch.at + patch.bytes.count), with: patch.bytes)
        }
        map = ConfigMap(bytes)
        for (offset, owner) in map.shown {
            if case .capability(let id) = owner, capabilities[Int(id)] == nil { capabilities[Int(id)] = offset }
        }
        ats = map.shown.first { $0.owner == .extended(UInt16(PCI_EXT_CAP_ID_ATS)) }?.offset
        setKept(device)
    }

    /// I/O, memory, master, SERR and INTx disable (QEMU's functions do not keep parity), the power state, error
    /// reporting, and what the bench says.
    private mutating func setKept(_ device: Topology.Device) {
        keep(
            PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE,
            at: PCI_COMMAND)
        kept[PCI_CACHE_LINE_SIZE] = 0xff
        if let power { keep(PCI_PM_CTRL_STATE_MASK, at: power + PCI_PM_CTRL) }
        if let express {
            // A function that does without relaxed ordering, or no snoop, has 0 there for good; the others start with 1.
            let control = Int(self[express + PCI_EXP_DEVCTL, UInt16.self])
            let reporting =
                PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE
            keep(
                reporting | control & (PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN),
                at: express + PCI_EXP_DEVCTL)
        }
        if device.keepsConfigWrites {
            for offset in kept.indices where map.owners[offset] == .nothing { kept[offset] = 0xff }
        }
        for patch in device.writableConfig {
            kept.replaceSubrange(patch.at..<(patch.at + patch.bytes.count), with: patch.bytes)
        }
    }

    /// These bits of a 16-bit register keep what is written.
    private mutating func keep(_ bits: Int, at offset: Int) {
        kept[offset] = UInt8(truncatingIfNeeded: bits)
        kept[offset + 1] = UInt8(truncatingIfNeeded: bits >> 8)
    }

    /// A write that reaches the hardware.
    mutating func write(_ value: UInt32, _ size: Int, at offset: Int) {
        for byte in offset..<(offset + size) {
            let new = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte - offset)))
            bytes[byte] = bytes[byte] & ~kept[byte] | new & kept[byte]
        }
    }

    /// drivers/pci/pci.c:pci_restore_state: the header, device and link control; nothing else is saved.
    mutating func restore(_ saved: ConfigSpace) {
        bytes.replaceSubrange(0..<PCI_STD_HEADER_SIZEOF, with: saved.bytes[0..<PCI_STD_HEADER_SIZEOF])
        guard let express else { return }
        for offset in [PCI_EXP_DEVCTL, PCI_EXP_LNKCTL, PCI_EXP_DEVCTL2] where express + offset + 2 <= bytes.count {
            self[express + offset, UInt16.self] = saved[express + offset, UInt16.self]
        }
    }

    subscript<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value {
        get { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Value.self) } }
        set { bytes.withUnsafeMutableBytes { $0.storeBytes(of: newValue, toByteOffset: offset, as: Value.self) } }
    }

    var command: UInt16 {
        get { self[PCI_COMMAND, UInt16.self] }
        set { self[PCI_COMMAND, UInt16.self] = newValue }
    }

    /// 0 for D0, 3 for D3hot.
    var powerState: UInt8 {
        get { power.map { bytes[$0 + PCI_PM_CTRL] & UInt8(PCI_PM_CTRL_STATE_MASK) } ?? 0 }
        set {
            guard let power else { return }
            let mask = UInt8(PCI_PM_CTRL_STATE_MASK)
            bytes[power + PCI_PM_CTRL] = bytes[power + PCI_PM_CTRL] & ~mask | newValue & mask
        }
    }

    /// Whether it is an endpoint of the root complex, without a link.
    var isIntegrated: Bool {
        express.map { Int(self[$0 + PCI_EXP_FLAGS, UInt16.self]) & PCI_EXP_FLAGS_TYPE == PCI_EXP_TYPE_RC_END << 4 }
            ?? false
    }

    /// Whether the device control register lets it send requests with relaxed ordering.
    var enablesRelaxedOrdering: Bool {
        isSet(PCI_EXP_DEVCTL_RELAX_EN, of: PCI_EXP_DEVCTL, in: express)
    }

    /// Whether a function that comes back from D3hot has kept its state (No_Soft_Reset).
    var keepsStateInD3: Bool { power == nil || isSet(PCI_PM_CTRL_NO_SOFT_RESET, of: PCI_PM_CTRL, in: power) }

    /// drivers/pci/pci.c:pci_set_power_state: D0 from anywhere, else only deeper, and D1 and D2 where there are any
    func canEnter(_ state: UInt8) -> Bool {
        guard let power else { return false }
        let supported = Int(self[power + PCI_PM_PMC, UInt16.self])
        switch state {
        case 0: return true
        case 1, 2: return powerState < state && supported & (state == 1 ? PCI_PM_CAP_D1 : PCI_PM_CAP_D2) != 0
        default: return powerState < state
        }
    }

    /// Where the MSI-X table lies, and whether vectors are enabled.
    var msixTable: (bar: Int, bytes: Range<UInt64>)? {
        guard let msix else { return nil }
        let table = self[msix + PCI_MSIX_TABLE, UInt32.self]
        let bar = table & UInt32(PCI_MSIX_TABLE_BIR)
        let start = UInt64(table - bar)
        return (Int(bar), start..<(start + UInt64(PCI_MSIX_ENTRY_SIZE) * UInt64(vectorsOfMSIX)))
    }

    var vectorsOfMSIX: UInt32 {
        msix.map { UInt32(self[$0 + PCI_MSIX_FLAGS, UInt16.self] & UInt16(PCI_MSIX_FLAGS_QSIZE)) + 1 } ?? 0
    }

    /// The enable bit of MSI.
    var isMSIEnabled: Bool {
        get { isSet(PCI_MSI_FLAGS_ENABLE, of: PCI_MSI_FLAGS, in: msi) }
        set { set(PCI_MSI_FLAGS_ENABLE, of: PCI_MSI_FLAGS, in: msi, newValue) }
    }

    /// The enable bit of MSI-X.
    var isMSIXEnabled: Bool {
        get { isSet(PCI_MSIX_FLAGS_ENABLE, of: PCI_MSIX_FLAGS, in: msix) }
        set { set(PCI_MSIX_FLAGS_ENABLE, of: PCI_MSIX_FLAGS, in: msix, newValue) }
    }

    /// The enable bit of the address translation services.
    var isATSEnabled: Bool {
        get { isSet(PCI_ATS_CTRL_ENABLE, of: PCI_ATS_CTRL, in: ats) }
        set { set(PCI_ATS_CTRL_ENABLE, of: PCI_ATS_CTRL, in: ats, newValue) }
    }

    /// The interrupt bit of the status.
    var hasInterrupt: Bool {
        get { isSet(PCI_STATUS_INTERRUPT, of: PCI_STATUS, in: 0) }
        set { set(PCI_STATUS_INTERRUPT, of: PCI_STATUS, in: 0, newValue) }
    }

    /// Whether a bit of a 16-bit register is set; false without the capability.
    private func isSet(_ bit: Int, of register: Int, in capability: Int?) -> Bool {
        capability.map { self[$0 + register, UInt16.self] & UInt16(bit) != 0 } ?? false
    }

    private mutating func set(_ bit: Int, of register: Int, in capability: Int?, _ isSet: Bool) {
        guard let capability else { return }
        let value = self[capability + register, UInt16.self]
        self[capability + register, UInt16.self] = isSet ? value | UInt16(bit) : value & ~UInt16(bit)
    }

    private mutating func header(_ device: Topology.Device) {
        self[PCI_VENDOR_ID, UInt16.self] = device.vendor
        self[PCI_DEVICE_ID, UInt16.self] = device.device
        // What firmware and a host driver leave behind.
        if let driver = device.driver {
            let hasPorts = device.bars.contains { $0.kind == .io }
            let decoding = ConfigSpace.memoryEnable | (hasPorts ? UInt16(PCI_COMMAND_IO) : 0)
            command = decoding | (driver.hasPrefix("vfio") ? 0 : ConfigSpace.busMasterEnable)
        }
        bytes[PCI_CLASS_PROG] = UInt8(truncatingIfNeeded: device.classCode)
        self[PCI_CLASS_DEVICE, UInt16.self] = UInt16(truncatingIfNeeded: device.classCode >> 8)
        self[PCI_SUBSYSTEM_VENDOR_ID, UInt16.self] = device.vendor
        self[PCI_SUBSYSTEM_ID, UInt16.self] = device.device
        if case .memory = device.kind { bytes[PCI_INTERRUPT_PIN] = 0 } else { bytes[PCI_INTERRUPT_PIN] = 1 }
    }

    private mutating func base(_ bar: Topology.BAR, _ addresses: [Int: UInt64]) {
        guard let address = addresses[bar.index] else { return }
        let offset = PCI_BASE_ADDRESS_0 + 4 * bar.index
        guard bar.kind != .io else {
            self[offset, UInt32.self] = UInt32(truncatingIfNeeded: address) | UInt32(PCI_BASE_ADDRESS_SPACE_IO)
            return
        }
        let flags =
            (bar.is64Bit ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) | (bar.prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0)
        self[offset, UInt32.self] = UInt32(truncatingIfNeeded: address) | UInt32(flags)
        if bar.is64Bit, bar.index < 5 { self[offset + 4, UInt32.self] = UInt32(truncatingIfNeeded: address >> 32) }
    }

    private mutating func powerCapability() {
        let offset = ConfigSpace.power
        bytes[offset] = UInt8(PCI_CAP_ID_PM)
        bytes[offset + PCI_CAP_LIST_NEXT] = UInt8(ConfigSpace.express)
        // Version 3, neither D1 nor D2.
        self[offset + PCI_PM_PMC, UInt16.self] = 3
        self[offset + PCI_PM_CTRL, UInt16.self] = UInt16(PCI_PM_CTRL_NO_SOFT_RESET)
    }

    private mutating func expressCapability(_ device: Topology.Device) {
        let offset = ConfigSpace.express
        bytes[offset] = UInt8(PCI_CAP_ID_EXP)
        // Version 2. What has no port above it is part of the root complex.
        self[offset + PCI_EXP_FLAGS, UInt16.self] = UInt16((device.isOnRootBus ? PCI_EXP_TYPE_RC_END << 4 : 0) | 2)
        self[offset + PCI_EXP_DEVCAP, UInt32.self] = UInt32(PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER)
        // Device control as after power on.
        self[offset + PCI_EXP_DEVCTL, UInt16.self] = UInt16(
            PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B)
        // 8 GT/s, 8 lanes.
        self[offset + PCI_EXP_LNKCAP, UInt32.self] = 0x83
        self[offset + PCI_EXP_LNKSTA, UInt16.self] = 0x83
        let completer: UInt32
        switch device.completer {
        case .none: completer = 0
        case .tph: completer = 1
        case .extended: completer = 3
        }
        self[offset + PCI_EXP_DEVCAP2, UInt32.self] = completer << 12
    }

    /// No-ST and device-specific mode, extended tags, no table.
    private mutating func hintsCapability() {
        self[ConfigSpace.tph, UInt32.self] = 1 << 16 | UInt32(PCI_EXT_CAP_ID_TPH)
        self[ConfigSpace.tph + PCI_TPH_CAP, UInt32.self] = UInt32(
            PCI_TPH_CAP_ST_NS | PCI_TPH_CAP_ST_DS | PCI_TPH_CAP_EXT_TPH)
    }

    /// Access control services, behind the hints where there are any.
    private mutating func accessControl(_ device: Topology.Device) {
        let offset = device.tphRequester ? ConfigSpace.tph + 0xa0 : ConfigSpace.tph
        if device.tphRequester { self[ConfigSpace.tph, UInt32.self] |= UInt32(offset) << 20 }
        bytes.replaceSubrange(offset..<(offset + 8), with: PortConfig.accessControl(device.acs))
    }

    /// The text of sysfs `resource`: start, end and flags of the six BARs and the ROM.
    static func resources(_ device: Topology.Device, _ addresses: [Int: UInt64]) -> String {
        var lines = [String](repeating: line(0, 0, 0), count: 7)
        for bar in device.bars {
            guard let address = addresses[bar.index] else { continue }
            var flags: UInt64 = bar.kind == .io ? 0x4_0101 : 0x4_0200
            if bar.prefetchable { flags |= 0x2008 }
            if bar.is64Bit { flags |= 0x10_0004 }
            lines[bar.index] = line(address, address + bar.size - 1, flags)
        }
        return lines.joined()
    }

    private static func line(_ start: UInt64, _ end: UInt64, _ flags: UInt64) -> String {
        [start, end, flags].map { "0x" + hexDigits($0, width: 16) }.joined(separator: " ") + "\n"
    }
}
