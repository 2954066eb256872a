import VFIOUser

/// The type of an event, MLX5_EVENT_TYPE_* of include/linux/mlx5/device.h.
public enum EventType: UInt8, Sendable {
    case completion = 0x00
    case pathMigrated = 0x01
    case communicationEstablished = 0x02
    case sendQueueDrained = 0x03
    case completionQueueError = 0x04
    case workQueueCatastrophicError = 0x05
    case pathMigrationFailed = 0x07
    case internalError = 0x08
    case portChange = 0x09
    case command = 0x0a
    case pageRequest = 0x0b
    case pageFault = 0x0c
    case invalidRequest = 0x10
    case accessError = 0x11
    case sharedReceiveQueueCatastrophicError = 0x12
    case lastWorkRequestReached = 0x13
    case receiveLimit = 0x14
}

/// An event queue: a ring of 64-byte entries in the driver's memory, and an interrupt vector.
final class EventQueue {
    enum Status: UInt64 {
        case ok = 0
        case writeFailure = 0xa
    }

    static let entrySize = 64

    let number: Int
    let context: [UInt8]
    let uar: Int
    let vector: Int
    /// 256 bits: the types of events that come here, other than completions.
    let mask: [UInt64]
    private let buffer: PagedBuffer
    private let logSize: Int

    private(set) var producer: UInt32 = 0
    private(set) var consumer: UInt32 = 0
    private(set) var status = Status.ok
    private(set) var isArmed = false
    /// Events that came while the queue was full.
    private(set) var lost = 0

    init(number: Int, context: [UInt8], uar: Int, vector: Int, mask: [UInt64], buffer: PagedBuffer, logSize: Int) {
        self.number = number
        self.context = context
        self.uar = uar
        self.vector = vector
        self.mask = mask
        self.buffer = buffer
        self.logSize = logSize
    }

    /// Whether events of a type come here.
    func takes(_ type: EventType) -> Bool {
        mask[Int(type.rawValue) >> 6] >> UInt64(type.rawValue & 63) & 1 == 1
    }

    /// Handles a doorbell: the driver's consumer index (24 bits), and whether the next event is to interrupt.
    func update(consumer index: UInt32, arm: Bool, _ bus: any PCIBus) {
        let ahead = (index &- consumer) & 0xff_ffff
        // A consumer index ahead of the producer is ignored.
        if ahead <= producer &- consumer { consumer &+= ahead }
        if arm {
            isArmed = true
            if producer != consumer { interrupt(bus) }
        }
    }

    /// Adds an entry and interrupts where the queue is armed.
    func add(_ type: EventType, subtype: UInt8, _ bus: any PCIBus, data: (UnsafeMutableRawBufferPointer) -> Void) {
        guard status == .ok else { return }
        guard producer &- consumer < 1 << UInt32(logSize) else {
            lost += 1
            return
        }
        let entry = (Int(producer) & ((1 << logSize) - 1)) * Self.entrySize
        withUnsafeTemporaryAllocation(byteCount: Self.entrySize, alignment: 8) { bytes in
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            bytes[EventFields.type] = UInt64(type.rawValue)
            bytes[EventFields.subtype] = UInt64(subtype)
            data(bytes[EventFields.data])
            bytes[EventFields.owner] = UInt64(producer >> UInt32(logSize) & 1)
            do throws(DMAFault) {
                // The owner bit makes the entry valid, so it is written last.
                try buffer.write(at: entry, UnsafeRawBufferPointer(rebasing: bytes[..<60]), bus)
                try buffer.write(at: entry + 60, UnsafeRawBufferPointer(rebasing: bytes[60...]), bus)
                producer &+= 1
            } catch {
                status = .writeFailure
            }
        }
        if isArmed && status == .ok { interrupt(bus) }
    }

    private func interrupt(_ bus: any PCIBus) {
        isArmed = false
        bus.interrupt(vector)
    }
}

/// struct mlx5_ifc_eqe_bits.
enum EventFields {
    static let type = Field("eqe.event_type", bit: 0x8, width: 8)
    static let subtype = Field("eqe.event_sub_type", bit: 0x18, width: 8)
    static let data = Area("eqe.event_data", at: 32, count: 28)
    static let owner = Field("eqe.owner", bit: 0x1ff, width: 1)
}
