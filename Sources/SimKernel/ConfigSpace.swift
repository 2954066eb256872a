/// A function's configuration space, as hardware shows it.
struct ConfigSpace {
    static let command = 0x04
    static let memoryEnable: UInt16 = 2
    static let busMasterEnable: UInt16 = 4
    static let hints = 0x100

    private(set) var bytes: [UInt8]
    /// Place of each capability, by id.
    private(set) var capabilities: [UInt8: Int] = [:]

    /// Places of the power and the Express capability.
    var power: Int? { capabilities[0x01] }
    var express: Int? { capabilities[0x10] }

    init(_ device: Topology.Device, _ addresses: [Int: UInt64]) {
        bytes = [UInt8](repeating: 0, count: device.configSize)
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
        findCapabilities()
    }

    /// Whether a byte belongs to a capability, as far as these are known here: the power, MSI and Express ones.
    func isInCapability(_ place: Int) -> Bool {
        let sizes: [UInt8: Int] = [0x01: 8, 0x05: 14, 0x10: 0x3c, 0x11: 12]
        return place < 0x40 || place >= 0x100
            || capabilities.contains { ($0.value..<($0.value + (sizes[$0.key] ?? 4))).contains(place) }
    }

    private mutating func findCapabilities() {
        var place = Int(bytes[0x34]) & ~3
        while place >= 0x40, place < 0x100, capabilities[bytes[place]] != place {
            capabilities[bytes[place]] = place
            place = Int(bytes[place + 1]) & ~3
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
