import Kernel
import VFIOUser

/// Attributes that a memory key gives to requests.
struct RequestAttributes: Equatable {
    /// The hint's processing hint and steering tag index, where it gives one.
    var hint: (ph: UInt8, index: UInt8)?
    var relaxedRead = false
    var relaxedWrite = false

    static let none = RequestAttributes()

    static func == (left: RequestAttributes, right: RequestAttributes) -> Bool {
        left.hint?.ph == right.hint?.ph && left.hint?.index == right.hint?.index
            && left.relaxedRead == right.relaxedRead && left.relaxedWrite == right.relaxedWrite
    }
}

/// The function's TPH Requester capability as its configuration space has it now. PCIe 6.2, 7.9.13
struct SteeringTags {
    /// What TPH Requester Enable lets it send.
    enum Requests: UInt8 {
        case none = 0
        case tph = 1
        case extended = 3
    }

    /// Which tag a request takes.
    enum Mode: UInt8 {
        case noTag = 0
        case interruptVector = 1
        case deviceSpecific = 2
    }

    var requests = Requests.none
    var mode = Mode.noTag
    /// The table's entries; nil without a table: then a memory key's index is the tag itself.
    var table: [UInt16]?

    /// What a request carries for a memory key's hint; nil for none.
    func hint(_ ph: UInt8, index: UInt8) -> TLP.Hint? {
        guard requests != .none else { return nil }
        var tag: UInt16 = 0
        if mode == .deviceSpecific {
            if let table {
                tag = Int(index) < table.count ? table[Int(index)] : 0
            } else {
                tag = UInt16(index)
            }
        }
        if requests == .tph { tag &= 0xff }
        return TLP.Hint(tag: tag, isExtended: requests == .extended, ph: ph & 3)
    }
}

/// What the Device Control register lets the function send. PCIe 6.2, 7.5.3.4
struct DeviceControl {
    /// Enable Relaxed Ordering: where not, no request has that attribute, whatever its memory key says.
    var isRelaxed = true
    /// Bytes of one write: Max_Payload_Size.
    var largestWrite = 128
    /// Bytes of one read: Max_Read_Request_Size.
    var largestRead = 512

    /// Of a function after power-on.
    init() {}

    /// As the register says; sizes that there are not count as the largest, 4096.
    init(_ register: UInt16) {
        isRelaxed = register >> 4 & 1 == 1
        largestWrite = 128 << Int(min(register >> 5 & 7, 5))
        largestRead = 128 << Int(min(register >> 12 & 7, 5))
    }
}

/// The NIC as a requester on its link: its bus, and each access as the requests that it makes.
final class Requester: PCIBus {
    private let bus: any PCIBus
    /// Gets each request before it is sent.
    var report: ((TLP) -> Void)?
    /// What reported requests carry of the function.
    var identity: (requester: UInt16, address: String, mode: TLP.Mode) = (0, "", .nonFlit)
    var control = DeviceControl()
    var steering = SteeringTags()
    /// Nanoseconds of the bench's clock.
    let clock: () -> UInt64

    init(_ bus: any PCIBus, clock: @escaping () -> UInt64) {
        self.bus = bus
        self.clock = clock
    }

    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(DMAFault) {
        try read(address, into: bytes, .none)
    }

    func write(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DMAFault) {
        try write(address, bytes, .none)
    }

    func interrupt(_ vector: Int) { bus.interrupt(vector) }

    func read(
        _ address: UInt64, into bytes: UnsafeMutableRawBufferPointer, _ attributes: RequestAttributes
    ) throws(DMAFault) {
        if report != nil { tell(address, bytes.count, isWrite: false, attributes) }
        try bus.read(address, into: bytes)
    }

    func write(
        _ address: UInt64, _ bytes: UnsafeRawBufferPointer, _ attributes: RequestAttributes
    ) throws(DMAFault) {
        if report != nil { tell(address, bytes.count, isWrite: true, attributes) }
        try bus.write(address, bytes)
    }

    /// Writes a queue entry whose last byte has the ownership bit: no reader may see that byte before the others.
    func writeEntry(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DMAFault) {
        if report != nil { tell(address, bytes.count, isWrite: true, .none) }
        let body = max(0, bytes.count - 8)
        try bus.write(address, UnsafeRawBufferPointer(rebasing: bytes[..<body]))
        try bus.write(address &+ UInt64(body), UnsafeRawBufferPointer(rebasing: bytes[body...]))
    }

    /// A big-endian word of 32 bits, such as a doorbell record.
    func word(_ address: UInt64) throws(DMAFault) -> UInt32 {
        var word: UInt32 = 0
        let failure: DMAFault? = withUnsafeMutableBytes(of: &word) {
            do throws(DMAFault) { try read(address, into: $0) } catch { return error }
            return nil
        }
        if let failure { throw failure }
        return UInt32(bigEndian: word)
    }

    private func tell(_ address: UInt64, _ length: Int, isWrite: Bool, _ attributes: RequestAttributes) {
        guard let report, length > 0 else { return }
        var part = TLP(isWrite: isWrite, requester: identity.requester, address: address, length: length)
        if let hint = attributes.hint { part.hint = steering.hint(hint.ph, index: hint.index) }
        part.isRelaxed = control.isRelaxed && (isWrite ? attributes.relaxedWrite : attributes.relaxedRead)
        part.requesterAddress = identity.address
        part.mode = identity.mode
        part.time = clock()
        part.forEachPart(upTo: isWrite ? control.largestWrite : control.largestRead, report)
    }
}
