/// What the data path tells of its objects by an event queue. include/linux/mlx5/device.h:enum mlx5_event
enum AsynchronousEvent: Equatable {
    /// A queue pair's: its number.
    case queuePair(Kind, UInt32)
    /// A shared receive queue's: its number.
    case sharedReceiveQueue(Kind, UInt32)
    /// A completion queue that cannot take what it should: its number, and 1 overrun, 2 its memory was not reached.
    case completionQueueError(UInt32, syndrome: UInt8)

    /// The event types among them.
    enum Kind: UInt8 {
        case queueCatastrophe = 0x05
        case invalidRequest = 0x10
        case accessViolation = 0x11
        case sharedReceiveQueueCatastrophe = 0x12
        case lastReceiveReached = 0x13
        case receiveLimit = 0x14
    }

    /// The type in byte 1 of its entry, which the event mask of a queue selects by.
    var type: UInt8 {
        switch self {
        case .queuePair(let kind, _), .sharedReceiveQueue(let kind, _): kind.rawValue
        case .completionQueueError: 0x04
        }
    }

    /// Writes type and data of an entry of 64 zeroed bytes; the owner bit is the queue's.
    func fill(_ entry: UnsafeMutableRawBufferPointer) {
        entry[1] = type
        switch self {
        case .queuePair(_, let number), .sharedReceiveQueue(_, let number):
            entry.storeBytes(of: number.bigEndian, toByteOffset: 32 + 24, as: UInt32.self)
        case .completionQueueError(let number, let syndrome):
            entry.storeBytes(of: number.bigEndian, toByteOffset: 32, as: UInt32.self)
            entry[32 + 11] = syndrome
        }
    }
}

/// Pages that a memory key does not have at the moment, of which a request waits for. The memory scheme of on-demand
/// paging: include/linux/mlx5/device.h:mlx5_eqe_page_fault
struct PageFault: Equatable {
    static let type: UInt8 = 0xc
    static let subtype: UInt8 = 2

    /// Names it in PAGE_FAULT_RESUME; 48 bits.
    var token: UInt64
    /// The memory key, with its variable byte, and where it is accessed.
    var key: UInt32
    var address: UInt64
    /// Bytes wanted from there, at least one.
    var length: UInt64

    /// Pages of 4 KiB that these bytes touch.
    var pages: UInt32 {
        let within = (address & 4095) &+ min(length, 1 << 22)
        return UInt32(truncatingIfNeeded: (within &+ 4095) >> 12)
    }

    /// Writes type, subtype and data of an entry of 64 zeroed bytes; the owner bit is the queue's.
    func fill(_ entry: UnsafeMutableRawBufferPointer) {
        entry[1] = PageFault.type
        entry[3] = PageFault.subtype
        entry[32] = 0x80  // the last of its token: a resume is wanted
        entry.storeBytes(of: UInt16(truncatingIfNeeded: token >> 32).bigEndian, toByteOffset: 38, as: UInt16.self)
        entry.storeBytes(of: UInt32(truncatingIfNeeded: token).bigEndian, toByteOffset: 40, as: UInt32.self)
        entry.storeBytes(of: (pages << 12).bigEndian, toByteOffset: 44, as: UInt32.self)
        entry.storeBytes(of: key.bigEndian, toByteOffset: 48, as: UInt32.self)
        entry.storeBytes(of: (address & ~4095).bigEndian, toByteOffset: 52, as: UInt64.self)
    }
}
