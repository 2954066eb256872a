/// A write to a page of doorbells (UAR).
enum Doorbell: Equatable {
    /// What an event queue's reader has read, and whether it wants an interrupt for the next event.
    case eventQueue(uar: Int, number: Int, consumer: UInt32, arm: Bool)
    /// What a completion queue's reader wants an event for: the doorbell's first four bytes, and the queue.
    case completionQueue(uar: Int, number: Int, command: UInt32)
    /// A queue pair with new work requests in its send queue.
    case sendQueue(uar: Int, number: Int)

    /// Bytes of a page, and how many BAR 0 has, whose first sixteen are other registers; device memory follows them.
    static let pageSize = 4096
    static let firstPage = 0x10
    static let pageCount = DeviceMemory.start / pageSize

    private enum Offset {
        static let completionQueue = 0x20
        static let eventQueueArm = 0x40
        static let eventQueueUpdate = 0x48
        static let blueFlame = 0x800
    }

    /// The doorbell that a write at an offset of BAR 0 is; nil where it is none.
    init?(at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 4 else { return nil }
        let uar = offset / Self.pageSize
        let first = UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
        switch offset % Self.pageSize {
        case Offset.eventQueueArm, Offset.eventQueueUpdate:
            let isArming = offset % Self.pageSize == Offset.eventQueueArm
            self = .eventQueue(uar: uar, number: Int(first >> 24), consumer: first & 0xff_ffff, arm: isArming)
        case Offset.completionQueue where bytes.count >= 8:
            let second = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            self = .completionQueue(uar: uar, number: Int(second & 0xff_ffff), command: first)
        case let place where place >= Offset.blueFlame && place & 0xff == 0 && bytes.count >= 8:
            // The start of a work request, in one of two buffers; what else is written of it lies in memory too.
            let second = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            self = .sendQueue(uar: uar, number: Int(second >> 8))
        default: return nil
        }
    }
}
