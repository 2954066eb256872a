/// How a request failed. include/linux/mlx5/device.h:MLX5_CQE_SYNDROME_*
enum CompletionSyndrome: UInt8, Error {
    case localLength = 0x01
    case localOperation = 0x02
    case localProtection = 0x04
    case flushed = 0x05
    case memoryWindowBind = 0x06
    case badResponse = 0x10
    case localAccess = 0x11
    case remoteInvalidRequest = 0x12
    case remoteAccess = 0x13
    case remoteOperation = 0x14
    case transportRetryExceeded = 0x15
    case receiverNotReadyRetryExceeded = 0x16
    case remoteAborted = 0x22
}

/// A completion queue's entry of 64 bytes; one of 128 has it in its second half. include/linux/mlx5/device.h:mlx5_cqe64
struct CompletionEntry {
    enum Opcode: UInt8 {
        case requester = 0
        case writeImmediate = 1
        case send = 2
        case sendImmediate = 3
        case sendInvalidate = 4
        case resized = 5
        case requesterError = 13
        case responderError = 14
    }

    static let size = 64

    var opcode: Opcode
    /// The opcode of the request, in a requester's entry.
    var workRequest: UInt8 = 0
    var queuePair: UInt32 = 0
    /// The queue pair's or shared receive queue's index of the user, or its number.
    var userIndex: UInt32 = 0
    var counter: UInt16 = 0
    var byteCount: UInt32 = 0
    var immediate: UInt32 = 0
    var syndrome: CompletionSyndrome?
    /// Of a datagram: who sent it.
    var source: UInt32 = 0
    var sourceLID: UInt16 = 0
    var serviceLevel: UInt8 = 0
    var hasRouteHeader = false
    var isSolicited = false

    /// Fills 64 bytes.
    func fill(_ entry: UnsafeMutableRawBufferPointer, owner: UInt8, time: UInt64) {
        entry.initializeMemory(as: UInt8.self, repeating: 0)
        entry.put(userIndex & 0xff_ffff, at: 32)
        entry.put(UInt32(workRequest) << 24 | queuePair & 0xff_ffff, at: 56)
        entry.put(counter, at: 60)
        entry[63] = opcode.rawValue << 4 | owner & 1
        if let syndrome {
            entry[54] = vendorSyndrome
            entry[55] = syndrome.rawValue
            return
        }
        entry.put(sourceLID, at: 22)
        entry.put(
            UInt32(serviceLevel & 0xf) << 24 | (hasRouteHeader ? 1 << 28 : 0) | source & 0xff_ffff, at: 24)
        entry.put(immediate, at: 36)
        entry.put(byteCount, at: 44)
        entry.put(time, at: 48)
    }

    /// The vendor's own code of the check that failed. These are what ConnectX NICs commonly report.
    private var vendorSyndrome: UInt8 {
        switch syndrome {
        case .flushed: 0xf5
        case .localLength: 0x52
        case .localProtection: 0x51
        case .memoryWindowBind: 0x78
        case .remoteAccess: 0x88
        case .remoteInvalidRequest, .remoteOperation: 0x8a
        case .transportRetryExceeded: 0x81
        case .receiverNotReadyRetryExceeded: 0x87
        default: 0x68
        }
    }
}
