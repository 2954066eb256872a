/// The 4096 bytes of a function's configuration space, as hardware shows them.
struct ConfigSpace {
    static let size = 4096
    static let command = 0x04
    static let memoryEnable: UInt16 = 2
    static let busMasterEnable: UInt16 = 4
    /// Places of the capabilities.
    static let power = 0x40
    static let express = 0x60
    static let hints = 0x100

    private(set) var bytes = [UInt8](repeating: 0, count: ConfigSpace.size)

    init(_ device: Topology.Device, _ addresses: [Int: UInt64]) {
        header(device)
        for bar in device.bars { base(bar, addresses) }
        powerCapability()
        expressCapability(device)
        if device.tphRequester { hintsCapability() }
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
        get { bytes[ConfigSpace.power + 4] & 3 }
        set { bytes[ConfigSpace.power + 4] = bytes[ConfigSpace.power + 4] & ~3 | newValue & 3 }
    }

    private mutating func header(_ device: Topology.Device) {
        self[0x00, UInt16.self] = device.vendor
        self[0x02, UInt16.self] = device.device
        // What firmware and a host driver leave behind.
        if let driver = device.driver {
            let decoding = ConfigSpace.memoryEnable | (device.bars.contains { $0.kind == .io } ? 1 : 0)
            command = decoding | (driver.hasPrefix("vfio") ? 0 : ConfigSpace.busMasterEnable)
        }
        self[0x06, UInt16.self] = 0x0010
        bytes[0x09] = UInt8(truncatingIfNeeded: device.classCode)
        bytes[0x0a] = UInt8(truncatingIfNeeded: device.classCode >> 8)
        bytes[0x0b] = UInt8(truncatingIfNeeded: device.classCode >> 16)
        self[0x2c, UInt16.self] = device.vendor
        self[0x2e, UInt16.self] = device.device
        bytes[0x34] = UInt8(ConfigSpace.power)
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

    private mutating func powerCapability() {
        bytes[ConfigSpace.power] = 0x01
        bytes[ConfigSpace.power + 1] = UInt8(ConfigSpace.express)
        self[ConfigSpace.power + 2, UInt16.self] = 0x0003
        self[ConfigSpace.power + 4, UInt16.self] = 0x0008
    }

    private mutating func expressCapability(_ device: Topology.Device) {
        bytes[ConfigSpace.express] = 0x10
        // Version 2, endpoint; function-level reset; 8 GT/s x8.
        self[ConfigSpace.express + 0x02, UInt16.self] = 0x0002
        self[ConfigSpace.express + 0x04, UInt32.self] = 1 << 28 | 0x8000
        self[ConfigSpace.express + 0x0c, UInt32.self] = 0x83
        self[ConfigSpace.express + 0x12, UInt16.self] = 0x83
        let completer: UInt32
        switch device.completer {
        case .none: completer = 0
        case .tph: completer = 1
        case .extended: completer = 3
        }
        self[ConfigSpace.express + 0x24, UInt32.self] = completer << 12
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
