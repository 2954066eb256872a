import VFIOUser

/// A queue pair: context, send and receive queue, and the request in progress.
final class QueuePair {
    /// Its kind of service: qpc.st. include/linux/mlx5/qp.h:MLX5_QP_ST_*
    enum Service: UInt64 {
        case reliable = 0
        case unreliable = 1
        case datagram = 2
        case xrc = 3
        case subnetManagement = 7
        case generalServices = 8
        case registration = 0xc

        var isDatagram: Bool { self == .datagram || self == .subnetManagement || self == .generalServices }
        /// Whether a request ends only when the responder has acknowledged it.
        var isReliable: Bool { self == .reliable || self == .xrc }
    }

    /// qpc.state. include/linux/mlx5/qp.h:enum mlx5_qp_state
    enum State: UInt64 {
        case reset = 0
        case initialized = 1
        case readyToReceive = 2
        case readyToSend = 3
        case sendError = 4
        case sendDrained = 5
        case error = 6

        var receives: Bool {
            self == .readyToReceive || self == .readyToSend || self == .sendDrained || self == .sendError
        }
    }

    /// Where receive requests come from: qpc.rq_type.
    enum ReceiveKind: UInt64 {
        case own = 0
        case shared = 1
        case collapsed = 2
        case none = 3
    }

    let number: UInt32
    let service: Service
    let domain: UInt32
    let sendCompletions: UInt32
    let receiveCompletions: UInt32
    let userIndex: UInt32
    let receiveKind: ReceiveKind
    let sharedReceiveQueue: UInt32
    let xrcDomain: UInt32
    let record: UInt64
    private let buffer: PagedBuffer
    /// Bytes that it takes of the model's own memory, with room for a request and a receive.
    var cost: Int { 4096 + buffer.cost }
    /// Blocks of 64 bytes; 0 without a send queue.
    let sendCount: Int
    var hasSendQueue: Bool { sendCount > 0 }
    /// The page with its doorbells.
    var doorbellPage: Int { context[int: QueuePairContext.uarPage] }
    private let sendOffset: Int
    private let receiveStride: Int
    /// Receive requests that its own queue has room for.
    let receiveCount: Int
    private let hasReceiveSignature: Bool

    var state = State.reset
    /// The context as QUERY_QP returns it. Fields that no transition sets are as at creation.
    var context: [UInt8]
    /// The fields that transitions have set, decoded.
    private(set) var path = Path()
    /// How many blocks were taken from the send queue; `receiveConsumer` counts receive requests.
    var sendConsumer: UInt16 = 0
    var receiveConsumer: UInt16 = 0

    /// The request it is at.
    var request = SendRequest()
    /// The receive request that a message is arriving in.
    var receive = ReceiveRequest()
    /// What it waits for.
    var wait = Wait.none
    /// Incremented when its state is cleared, so that timers and page faults of the time before are recognised and
    /// ignored.
    var generation: UInt32 = 0
    /// Whether it is in the list of queue pairs with work.
    var isScheduled = false
    /// Its earliest timer, nanoseconds; nil without one.
    var timer: UInt64?
    /// How often the error state was looked at without anything to flush; the interval grows with it.
    var idleLooks = 0

    /// Why it is waiting.
    enum Wait: Equatable {
        case none
        case pageFault(UInt64)
        case until(UInt64)
    }

    /// The transport's side of the context.
    struct Path {
        var remoteNumber: UInt32 = 0
        var remoteLID: UInt16 = 0
        var remoteGID: GID?
        var port = 1
        var serviceLevel: UInt8 = 0
        /// 4.096 us << it for each try; 0 for no limit.
        var timeout = 0
        var retries = 0
        var receiverRetries = 0
        var receiverTimer = 0
        var queueKey: UInt32 = 0
        var allowsRead = false
        var allowsWrite = false
        var allowsAtomic = false
        /// log2 of the longest message.
        var messageShift = 30
        var mtu = 4096
        var sourceNumber: UInt32 = 0
    }

    /// From qpc, 232 bytes.
    init(_ number: UInt32, context: [UInt8], list: UnsafeRawBufferPointer) throws(CommandFailure) {
        typealias Context = QueuePairContext
        guard let service = Service(rawValue: context[Context.st]) else {
            throw CommandFailure(.badParameter, "no such service")
        }
        guard let receiveKind = ReceiveKind(rawValue: context[Context.rqType]), receiveKind != .collapsed else {
            throw CommandFailure(.badParameter, "no such rq_type")
        }
        self.number = number
        self.service = service
        self.receiveKind = receiveKind
        self.context = context
        domain = UInt32(truncatingIfNeeded: context[Context.pd])
        sendCompletions = UInt32(truncatingIfNeeded: context[Context.cqnSnd])
        receiveCompletions = UInt32(truncatingIfNeeded: context[Context.cqnRcv])
        userIndex = UInt32(truncatingIfNeeded: context[Context.userIndex])
        sharedReceiveQueue = UInt32(truncatingIfNeeded: context[Context.srqn])
        xrcDomain = UInt32(truncatingIfNeeded: context[Context.xrcd])
        record = context[Context.dbrAddr]
        let hasOwn = receiveKind == .own
        receiveStride = 16 << context[int: Context.logRqStride]
        receiveCount = hasOwn ? 1 << context[int: Context.logRqSize] : 0
        hasReceiveSignature = context[flag: Context.wqSignature]
        sendCount = context[flag: Context.noSq] ? 0 : 1 << context[int: Context.logSqSize]
        sendOffset = receiveCount * receiveStride
        buffer = try PagedBuffer(
            list: list, logPageSize: context[int: Context.logPageSize], offset: context[int: Context.pageOffset],
            size: sendOffset + sendCount * WorkRequestLayout.block)
        decode()
    }

    deinit {
        request.free()
        receive.free()
    }

    /// Reads what a transition has set.
    func decode() {
        path = context.withUnsafeBytes { bytes in
            typealias Context = QueuePairContext
            var path = Path()
            let address = Context.primaryPath
            path.remoteNumber = bytes[word: Context.remoteQpn]
            path.remoteLID = UInt16(truncatingIfNeeded: bytes[AddressPath.rlid.at(address)])
            if bytes[flag: AddressPath.grh.at(address)] {
                path.remoteGID = GID(bytes, at: address + AddressPath.remoteGID)
            }
            path.port = max(1, bytes[int: AddressPath.vhcaPortNum.at(address)])
            path.serviceLevel = UInt8(truncatingIfNeeded: bytes[AddressPath.sl.at(address)])
            path.timeout = bytes[int: AddressPath.ackTimeout.at(address)]
            path.retries = bytes[int: Context.retryCount]
            path.receiverRetries = bytes[int: Context.rnrRetry]
            path.receiverTimer = bytes[int: Context.minRnrNak]
            path.queueKey = bytes[word: Context.qKey]
            path.allowsRead = bytes[flag: Context.rre]
            path.allowsWrite = bytes[flag: Context.rwe]
            path.allowsAtomic = bytes[flag: Context.rae]
            let longest = bytes[int: Context.logMsgMax]
            path.messageShift = longest == 0 ? 30 : min(longest, 31)
            path.mtu = 128 << min(max(bytes[int: Context.mtu], 1), 5)
            path.sourceNumber = bytes[word: Context.dethSqpn]
            return path
        }
    }

    /// Resets both queues' counters and requests.
    func clear() {
        generation &+= 1
        sendConsumer = 0
        receiveConsumer = 0
        request.end()
        receive.end()
        wait = .none
        idleLooks = 0
    }

    // MARK: Its queues

    /// Reads `count` bytes of the send queue from a block on; it wraps.
    func readSend(
        _ block: UInt16, into bytes: UnsafeMutableRawBufferPointer, _ requester: Requester
    ) throws(DMAFault) {
        let size = sendCount * WorkRequestLayout.block
        let at = (Int(block) & (sendCount - 1)) * WorkRequestLayout.block
        let first = min(bytes.count, size - at)
        try buffer.read(
            at: sendOffset + at, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<first]), requester)
        guard bytes.count > first else { return }
        let rest = min(bytes.count - first, size)
        try buffer.read(
            at: sendOffset, into: UnsafeMutableRawBufferPointer(rebasing: bytes[first..<first + rest]), requester)
    }

    /// Takes the next request of its own receive queue: its index, and its data segments at the start of `entry`.
    func takeReceive(
        into entry: UnsafeMutableRawBufferPointer, _ requester: Requester
    ) throws(DMAFault) -> (index: UInt16, length: Int)? {
        guard receiveCount > 0 else { return nil }
        let posted = UInt16(truncatingIfNeeded: try requester.word(record))
        guard posted != receiveConsumer else { return nil }
        let size = min(receiveStride, entry.count)
        let at = (Int(receiveConsumer) & (receiveCount - 1)) * receiveStride
        try buffer.read(at: at, into: UnsafeMutableRawBufferPointer(rebasing: entry[..<size]), requester)
        let first = hasReceiveSignature ? min(16, size) : 0
        if first > 0 { entry.copyMemory(from: UnsafeRawBufferPointer(rebasing: entry[first..<size])) }
        let index = receiveConsumer
        receiveConsumer &+= 1
        return (index, size - first)
    }
}

/// A global identifier of a port.
struct GID: Hashable {
    var high: UInt64
    var low: UInt64

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The 16 bytes at a place.
    init(_ bytes: UnsafeRawBufferPointer, at place: Int) {
        high = bytes.longWord(place)
        low = bytes.longWord(place + 8)
    }
}

extension QueuePairContext {
    /// The first byte of primary_address_path.
    static let primaryPath = 0xc0 / 8
}

extension AddressPath {
    /// The first byte of rgid_rip.
    static let remoteGID = 0x80 / 8
}
