/// A function's configuration space, as hardware shows it.
struct ConfigSpace {
    static let command = 0x04
    static let memoryEnable: UInt16 = 2
    static let busMasterEnable: UInt16 = 4
    static let hints = 0x100
    private static let relaxedOrdering: UInt8 = 0x10
    private static let noSnoop: UInt8 = 0x08

    private(set) var bytes: [UInt8]
    /// The bits that keep what is written to them.
    private var kept: [UInt8]
    private(set) var map = ConfigMap()
    /// Place of each capability, by id.
    private(set) var capabilities: [UInt8: Int] = [:]
    /// Place of the address translation services; nil without.
    private(set) var ats: Int?

    /// Places of the power, the MSI-X and the Express capability.
    var power: Int? { capabilities[0x01] }
    var msix: Int? { capabilities[0x11] }
    var express: Int? { capabilities[0x10] }

    init(_ device: Topology.Device, _ addresses: [Int: UInt64]) {
        bytes = [UInt8](repeating: 0, count: device.configSize)
        kept = bytes
        header(device)
        for bar in device.bars { base(bar, addresses) }
        if device.configSize == 4096 {
            self[0x06, UInt16.self] = 0x0010
            bytes[0x34] = 0x40
            powerCapability(at: 0x40, next: 0x60)
            expressCapability(device, at: 0x60)
            if device.tphRequester { hintsCapability() }
        }
        for patch in device.config {
            bytes.replaceSubrange(patch.at..<(patch.at + patch.bytes.count), with: patch.bytes)
        }
        map = ConfigMap(bytes)
        for (place, owner) in map.shown {
            if case .capability(let id) = owner, capabilities[id] == nil { capabilities[id] = place }
        }
        ats = map.shown.first { $0.owner == .extended(0x0f) }?.place
        setKept(device)
    }

    /// I/O, memory, master, SERR and INTx disable (QEMU's functions do not keep parity), the power state, error
    /// reporting, and what the bench says.
    private mutating func setKept(_ device: Topology.Device) {
        kept[ConfigSpace.command] = 0x07
        kept[ConfigSpace.command + 1] = 0x05
        kept[0x0c] = 0xff
        if let power { kept[power + 4] = 0x03 }
        if let express {
            // A function that does without relaxed ordering, or no snoop, has 0 there for good; the others start with 1.
            kept[express + 8] = 0x0f | bytes[express + 8] & ConfigSpace.relaxedOrdering
            kept[express + 9] = bytes[express + 9] & ConfigSpace.noSnoop
        }
        if device.keepsConfigWrites {
            for place in kept.indices where map.owners[place] == .nothing { kept[place] = 0xff }
        }
        for patch in device.writableConfig {
            kept.replaceSubrange(patch.at..<(patch.at + patch.bytes.count), with: patch.bytes)
        }
    }

    /// A write that reaches the hardware.
    mutating func write(_ value: UInt32, _ size: Int, at place: Int) {
        for byte in place..<(place + size) {
            let new = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte - place)))
            bytes[byte] = bytes[byte] & ~kept[byte] | new & kept[byte]
        }
    }

    /// drivers/pci/pci.c:pci_restore_state: the header, device and link control; nothing else is saved.
    mutating func restore(_ saved: ConfigSpace) {
        bytes.replaceSubrange(0..<0x40, with: saved.bytes[0..<0x40])
        guard let express else { return }
        for place in [8, 0x10, 0x28] where express + place + 2 <= bytes.count {
            self[express + place, UInt16.self] = saved[express + place, UInt16.self]
        }
    }

    subscript<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value {
        get { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Value.self) } }
        set { bytes.withUnsafeMutableBytes { $0.storeBytes(of: newValue, toByteOffset: offset, as: Value.self) } }
    }

    var command: UInt16 {
        get { self[ConfigSpace.command, UInt16.self] }
        set { self[ConfigSpace.command, UInt16.self] = newValue }
    }

    /// 0 for D0, 3 for D3hot.
    var powerState: UInt8 {
        get { power.map { bytes[$0 + 4] & 3 } ?? 0 }
        set { if let power { bytes[power + 4] = bytes[power + 4] & ~3 | newValue & 3 } }
    }

    /// Whether the device control register lets it send requests with relaxed ordering.
    var enablesRelaxedOrdering: Bool {
        express.map { bytes[$0 + 8] & ConfigSpace.relaxedOrdering != 0 } ?? false
    }

    /// Whether a function that comes back from D3hot has kept its state (No_Soft_Reset).
    var keepsStateInD3: Bool { power.map { bytes[$0 + 4] & 8 != 0 } ?? true }

    /// drivers/pci/pci.c:pci_set_power_state: D0 from anywhere, else only deeper, and D1 and D2 where there are any
    func canEnter(_ state: UInt8) -> Bool {
        guard let power else { return false }
        let supported = self[power + 2, UInt16.self]
        switch state {
        case 0: return true
        case 1, 2: return powerState < state && supported & (state == 1 ? 0x200 : 0x400) != 0
        default: return powerState < state
        }
    }

    /// Where the MSI-X table lies, and whether vectors are enabled.
    var msixTable: (bar: Int, bytes: Range<UInt64>)? {
        guard let msix else { return nil }
        let place = self[msix + 4, UInt32.self]
        let start = UInt64(place & ~7)
        return (Int(place & 7), start..<(start + 16 * UInt64(vectorsOfMSIX)))
    }

    var vectorsOfMSIX: UInt32 { msix.map { UInt32(self[$0 + 2, UInt16.self] & 0x7ff) + 1 } ?? 0 }

    /// The enable bit of MSI.
    var isMSIEnabled: Bool {
        get { capabilities[0x05].map { bytes[$0 + 2] & 1 != 0 } ?? false }
        set { if let msi = capabilities[0x05] { bytes[msi + 2] = bytes[msi + 2] & ~1 | (newValue ? 1 : 0) } }
    }

    /// The enable bit of MSI-X.
    var isMSIXEnabled: Bool {
        get { msix.map { bytes[$0 + 3] & 0x80 != 0 } ?? false }
        set { if let msix { bytes[msix + 3] = bytes[msix + 3] & 0x7f | (newValue ? 0x80 : 0) } }
    }

    /// The enable bit of the address translation services.
    var isATSEnabled: Bool {
        get { ats.map { bytes[$0 + 7] & 0x80 != 0 } ?? false }
        set { if let ats { bytes[ats + 7] = bytes[ats + 7] & 0x7f | (newValue ? 0x80 : 0) } }
    }

    /// The interrupt bit of the status.
    var hasInterrupt: Bool {
        get { bytes[0x06] & 0x08 != 0 }
        set { bytes[0x06] = bytes[0x06] & ~0x08 | (newValue ? 0x08 : 0) }
    }

    private mutating func header(_ device: Topology.Device) {
        self[0x00, UInt16.self] = device.vendor
        self[0x02, UInt16.self] = device.device
        // What firmware and a host driver leave behind.
        if let driver = device.driver {
            let decoding = ConfigSpace.memoryEnable | (device.bars.contains { $0.kind == .io } ? 1 : 0)
            command = decoding | (driver.hasPrefix("vfio") ? 0 : ConfigSpace.busMasterEnable)
        }
        bytes[0x09] = UInt8(truncatingIfNeeded: device.classCode)
        bytes[0x0a] = UInt8(truncatingIfNeeded: device.classCode >> 8)
        bytes[0x0b] = UInt8(truncatingIfNeeded: device.classCode >> 16)
        self[0x2c, UInt16.self] = device.vendor
        self[0x2e, UInt16.self] = device.device
        if case .memory = device.kind { bytes[0x3d] = 0 } else { bytes[0x3d] = 1 }
    }

    private mutating func base(_ bar: Topology.BAR, _ addresses: [Int: UInt64]) {
        guard let address = addresses[bar.index] else { return }
        let place = 0x10 + 4 * bar.index
        guard bar.kind != .io else {
            self[place, UInt32.self] = UInt32(truncatingIfNeeded: address) | 1
            return
        }
        let flags: UInt32 = (bar.is64Bit ? 4 : 0) | (bar.prefetchable ? 8 : 0)
        self[place, UInt32.self] = UInt32(truncatingIfNeeded: address) | flags
        if bar.is64Bit, bar.index < 5 { self[place + 4, UInt32.self] = UInt32(truncatingIfNeeded: address >> 32) }
    }

    private mutating func powerCapability(at place: Int, next: UInt8) {
        bytes[place] = 0x01
        bytes[place + 1] = next
        self[place + 2, UInt16.self] = 0x0003
        self[place + 4, UInt16.self] = 0x0008
    }

    private mutating func expressCapability(_ device: Topology.Device, at place: Int) {
        bytes[place] = 0x10
        // Version 2, endpoint; function-level reset; 8 GT/s x8.
        self[place + 0x02, UInt16.self] = 0x0002
        self[place + 0x04, UInt32.self] = 1 << 28 | 0x8000
        // Device control as after power on: relaxed ordering, no snoop, read requests of 512 bytes.
        self[place + 0x08, UInt16.self] = 0x2810
        self[place + 0x0c, UInt32.self] = 0x83
        self[place + 0x12, UInt16.self] = 0x83
        let completer: UInt32
        switch device.completer {
        case .none: completer = 0
        case .tph: completer = 1
        case .extended: completer = 3
        }
        self[place + 0x24, UInt32.self] = completer << 12
    }

    /// No-ST and device-specific mode, extended tags, no table.
    private mutating func hintsCapability() {
        self[ConfigSpace.hints, UInt32.self] = 0x0001_0017
        self[ConfigSpace.hints + 4, UInt32.self] = 0x0000_0105
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
        [start, end, flags].map { "0x" + hexadecimal($0, width: 16) }.joined(separator: " ") + "\n"
    }
}

/// Hexadecimal digits with leading zeros.
func hexadecimal(_ value: some BinaryInteger, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
