public import Kernel

/// The configuration space of a PCI Express function, 4096 bytes, made from a description. Reads and writes have the lengths
/// and offsets that the client chose, within those bytes.
public final class ConfigSpace {
    /// Who a function is.
    public struct Identity: Sendable, Equatable {
        /// Vendor, device, subsystem vendor and subsystem.
        public var vendor, device, subsystemVendor, subsystem: UInt16
        /// Base class, subclass and programming interface, 24 bits.
        public var classCode: UInt32
        /// The revision.
        public var revision: UInt8

        /// Without a subsystem, the subsystem ids are those of the function.
        public init(
            vendor: UInt16, device: UInt16, classCode: UInt32, revision: UInt8 = 0, subsystemVendor: UInt16? = nil,
            subsystem: UInt16? = nil
        ) {
            self.vendor = vendor
            self.device = device
            self.classCode = classCode
            self.revision = revision
            self.subsystemVendor = subsystemVendor ?? vendor
            self.subsystem = subsystem ?? device
        }
    }

    /// A memory BAR.
    public struct BAR: Sendable, Equatable {
        /// 0 to 5; one of 64 bits takes the next, too.
        public let index: Int
        /// Bytes, a power of two of at least 16.
        public let size: UInt64
        /// Whether its address has 64 bits.
        public let is64Bit: Bool
        /// Whether reading it changes nothing.
        public let isPrefetchable: Bool

        /// A BAR of `size` bytes.
        public init(_ index: Int, size: UInt64, is64Bit: Bool = true, isPrefetchable: Bool = true) {
            self.index = index
            self.size = size
            self.is64Bit = is64Bit
            self.isPrefetchable = isPrefetchable
        }
    }

    /// Bytes of the space.
    public static let size = 4096
    private static let noSoftReset: UInt8 = 8
    private static let decoding: UInt16 = 2
    private static let mastering: UInt16 = 4

    /// The bytes that reads return.
    public private(set) var bytes: [UInt8]
    private var writable: [UInt8]
    private var cleared: [UInt8]
    private let atPowerOn: [UInt8]
    private let bars: [BAR]
    private let power: Int?
    private let express: Int?
    private let tph: Int?
    /// Whether bit 15 of Device Control was written, or D0 after a D3hot that keeps nothing, since the last ``reset()``.
    public private(set) var needsReset = false

    /// Lays capabilities out in their order, from 0x40, extended ones from 0x100, and links them. One that does not
    /// fit is left out.
    public init(_ identity: Identity, bars: [BAR], capabilities: [Capability]) {
        var layout = Layout(identity, bars)
        for capability in capabilities { layout.place(capability) }
        bytes = layout.bytes
        writable = layout.writable
        cleared = layout.cleared
        atPowerOn = bytes
        self.bars = bars
        power = layout.places[0x01]
        express = layout.places[0x10]
        tph = layout.extendedPlaces[0x17]
    }

    // MARK: The client's accesses

    /// Fills the bytes with what is there; ones behind the end.
    public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) {
        for byte in 0..<target.count {
            let place = offset &+ byte
            target[byte] = bytes.indices.contains(place) ? bytes[place] : 0xff
        }
    }

    /// Takes what a write may change, and notes a reset that it asks for.
    public func write(at offset: Int, _ source: UnsafeRawBufferPointer) {
        let before = powerState
        for byte in 0..<source.count {
            let place = offset &+ byte
            guard bytes.indices.contains(place) else { break }
            let kept = writable[place]
            bytes[place] = bytes[place] & ~kept & ~(source[byte] & cleared[place]) | source[byte] & kept
        }
        if let express, bytes[express + 9] & 0x80 != 0 {
            bytes[express + 9] &= 0x7f
            needsReset = true
        }
        guard let power, powerState != before else { return }
        guard powerState == 0 || powerState == 3 else {
            // D1 and D2 are not there: the write is ignored.
            bytes[power + 4] = bytes[power + 4] & ~3 | before
            return
        }
        if powerState == 0, bytes[power + 4] & ConfigSpace.noSoftReset == 0 { needsReset = true }
    }

    /// Returns to the state after power-on, except for the base addresses. A client that plays the bridge above keeps
    /// them over a reset, as VFIO does, and would not write them again.
    public func reset() {
        let addresses = bytes[0x10..<0x28]
        bytes = atPowerOn
        bytes.replaceSubrange(0x10..<0x28, with: addresses)
        needsReset = false
    }

    // MARK: What it says

    /// 0 for D0, 3 for D3hot.
    public var powerState: UInt8 { power.map { bytes[$0 + 4] & 3 } ?? 0 }

    /// Memory decoding is on, in D0.
    public var isDecoding: Bool { self[0x04, UInt16.self] & ConfigSpace.decoding != 0 && powerState == 0 }

    /// Bus mastering is on, in D0.
    public var isBusMaster: Bool { self[0x04, UInt16.self] & ConfigSpace.mastering != 0 && powerState == 0 }

    /// Where a BAR begins on the bus; nil for none, and before it was given an address.
    public func address(ofBAR index: Int) -> UInt64? {
        guard let bar = bars.first(where: { $0.index == index }) else { return nil }
        let low = UInt64(self[0x10 + 4 * index, UInt32.self] & ~0xf)
        let address = bar.is64Bit ? UInt64(self[0x14 + 4 * index, UInt32.self]) << 32 | low : low
        // All ones ask for its size.
        let ones = bar.is64Bit ? ~(bar.size - 1) : ~(bar.size - 1) & 0xffff_ffff
        return address == 0 || address == ones ? nil : address
    }

    /// Device Control; 0 without the PCI Express capability.
    public var deviceControl: UInt16 { express.map { self[$0 + 8, UInt16.self] } ?? 0 }

    /// What the control register of the TPH requester capability lets it send.
    public var enabledTPH: TPHSupport {
        guard let tph else { return .none }
        return TPHSupport(code: bytes[tph + 9] & 3) ?? .none
    }

    /// The ST mode: 0 no tags, 1 by interrupt vector, 2 device specific; nil without the capability.
    public var steeringMode: UInt8? { tph.map { bytes[$0 + 8] & 7 } }

    /// An entry of the table in the TPH requester capability; nil where it has none of that number.
    public func steeringTag(_ index: Int) -> UInt16? {
        guard let tph, bytes[tph + 5] >> 1 & 3 == 1 else { return nil }
        let last = Int(self[tph + 6, UInt16.self] & 0x7ff)
        return (0...last).contains(index) ? self[tph + 12 + 2 * index, UInt16.self] : nil
    }

    private subscript<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value {
        bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }
}

/// Lays out a configuration space: initial bytes, writable bits, and the offsets of its capabilities.
private struct Layout {
    var bytes = [UInt8](repeating: 0, count: ConfigSpace.size)
    var writable = [UInt8](repeating: 0, count: ConfigSpace.size)
    var cleared = [UInt8](repeating: 0, count: ConfigSpace.size)
    /// Offsets of capabilities by id, of each the first.
    var places: [UInt16: Int] = [:]
    var extendedPlaces: [UInt16: Int] = [:]
    private var next = 0x40
    private var nextExtended = 0x100
    private var link = 0x34
    private var extendedLink: Int?

    init(_ identity: ConfigSpace.Identity, _ bars: [ConfigSpace.BAR]) {
        put(0x00, identity.vendor)
        put(0x02, identity.device)
        // Memory, master, parity, SERR, INTx disable.
        put(0x04, UInt16(0x0546), in: \.writable)
        put(0x06, UInt16(0xf900), in: \.cleared)
        put(0x08, identity.classCode << 8 | UInt32(identity.revision))
        writable[0x0c] = 0xff
        put(0x2c, identity.subsystemVendor)
        put(0x2e, identity.subsystem)
        writable[0x3c] = 0xff
        for bar in bars where (0..<(bar.is64Bit ? 5 : 6)).contains(bar.index) {
            let mask = ~(max(bar.size, 16) - 1)
            put(0x10 + 4 * bar.index, UInt32(bar.is64Bit ? 4 : 0) | (bar.isPrefetchable ? 8 : 0))
            put(0x10 + 4 * bar.index, UInt32(truncatingIfNeeded: mask), in: \.writable)
            if bar.is64Bit { put(0x14 + 4 * bar.index, UInt32(truncatingIfNeeded: mask >> 32), in: \.writable) }
        }
    }

    mutating func place(_ capability: Capability) {
        let start = capability.isExtended ? nextExtended : next
        let end = start + (capability.bytes.count + 3) / 4 * 4
        guard end <= (capability.isExtended ? ConfigSpace.size : 0x100) else { return }
        bytes.replaceSubrange(start..<(start + capability.bytes.count), with: capability.bytes)
        writable.replaceSubrange(start..<(start + capability.bytes.count), with: capability.writable)
        cleared.replaceSubrange(start..<(start + capability.bytes.count), with: capability.cleared)
        if capability.isExtended {
            // Version 1.
            put(start, UInt32(capability.id) | 1 << 16)
            if let extendedLink { put(extendedLink + 2, UInt16(start << 4 | 1)) }
            extendedLink = start
            nextExtended = end
            extendedPlaces[capability.id] = extendedPlaces[capability.id] ?? start
        } else {
            bytes[start] = UInt8(truncatingIfNeeded: capability.id)
            bytes[start + 1] = 0
            bytes[link] = UInt8(start)
            bytes[0x06] |= 0x10
            link = start + 1
            next = end
            places[capability.id] = places[capability.id] ?? start
        }
    }

    private mutating func put<Value: FixedWidthInteger>(
        _ offset: Int, _ value: Value, in list: WritableKeyPath<Layout, [UInt8]> = \.bytes
    ) {
        for byte in 0..<MemoryLayout<Value>.size {
            self[keyPath: list][offset + byte] = UInt8(truncatingIfNeeded: value >> Value(8 * byte))
        }
    }
}
