/// An asynchronous event of one of the data path's objects.
enum AsynchronousEvent: Equatable {
    /// A queue pair's: its number.
    case queuePair(EventType, UInt32)
    /// A shared receive queue's: its number.
    case sharedReceiveQueue(EventType, UInt32)
    /// A completion queue in its error state: its number, and the syndrome (1 overrun, 2 its memory was not reached).
    case completionQueueError(UInt32, syndrome: UInt8)

    /// The type of its entry.
    var type: EventType {
        switch self {
        case .queuePair(let type, _), .sharedReceiveQueue(let type, _): type
        case .completionQueueError: .completionQueueError
        }
    }

    /// Fills the data of its entry, which are 0 before. include/linux/mlx5/device.h:mlx5_eqe_qp_srq, mlx5_eqe_cq_err
    func fill(_ data: UnsafeMutableRawBufferPointer) {
        switch self {
        case .queuePair(_, let number), .sharedReceiveQueue(_, let number): data.put(number, at: 24)
        case .completionQueueError(let number, let syndrome):
            data.put(number, at: 0)
            data[11] = syndrome
        }
    }
}

/// A page fault by memory key: a request waits for pages that are not present.
/// include/linux/mlx5/device.h:mlx5_eqe_page_fault
struct PageFault: Equatable {
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

    /// Fills the data of its entry, which are 0 before.
    func fill(_ data: UnsafeMutableRawBufferPointer) {
        data[0] = 0x80  // the last of its token: a resume is wanted
        data.put(UInt16(truncatingIfNeeded: token >> 32), at: 6)
        data.put(UInt32(truncatingIfNeeded: token), at: 8)
        data.put(pages << 12, at: 12)
        data.put(key, at: 16)
        data.put(address & ~4095, at: 20)
    }
}
