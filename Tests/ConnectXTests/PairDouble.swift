import VFIOUser

@testable import ConnectX

/// A queue pair, as a driver has it: what it posts, and where.
final class PairDouble {
    let nic: DataPathDouble
    let number: UInt32
    let record: Int
    let receiveBuffer: Int
    let sendBuffer: Int
    let sendLog: Int
    let receiveLog: Int
    let stride: Int
    let service: QueuePair.Service
    var sendCompletions: DataPathDouble.Queue
    var receiveCompletions: DataPathDouble.Queue
    var posted: UInt16 = 0
    var receives: UInt16 = 0

    var pair: QueuePair? { nic.path.queuePairs[number] }

    init(
        _ nic: DataPathDouble, _ service: QueuePair.Service = .reliable, sendLog: Int = 4, receiveLog: Int = 3,
        strideLog: Int = 2, cqLog: Int = 6, cqSize: Int = 64, domain: UInt32 = DataPathDouble.domain,
        _ change: (inout [UInt8]) -> Void = { _ in }
    ) throws {
        typealias Context = QueuePairContext
        self.nic = nic
        self.service = service
        (self.sendLog, self.receiveLog, stride) = (sendLog, receiveLog, 16 << strideLog)
        sendCompletions = try nic.completionQueue(log: cqLog, size: cqSize)
        receiveCompletions = try nic.completionQueue(log: cqLog, size: cqSize)
        record = nic.room(8)
        var context = [UInt8](repeating: 0, count: Context.size)
        context[Context.st] = service.rawValue
        context[Context.pd] = UInt64(domain)
        context[Context.logRqSize] = UInt64(receiveLog)
        context[Context.logRqStride] = UInt64(strideLog)
        context[Context.logSqSize] = UInt64(sendLog)
        context[Context.cqnSnd] = UInt64(sendCompletions.number)
        context[Context.cqnRcv] = UInt64(receiveCompletions.number)
        context[Context.userIndex] = 0x123
        context[Context.dbrAddr] = UInt64(record)
        change(&context)
        let hasOwn = context[Context.rqType] == 0
        let size = (hasOwn ? stride << receiveLog : 0) + (64 << sendLog)
        receiveBuffer = nic.room(size)
        sendBuffer = receiveBuffer + (hasOwn ? stride << receiveLog : 0)
        let pages = nic.pageList(receiveBuffer, size)
        number = UInt32(
            try context.withUnsafeBytes { context in
                try pages.withUnsafeBytes { try nic.path.createQueuePair(context, list: $0) }
            })
    }

    /// Changes its state, with fields of the context.
    func modify(
        _ transition: QueuePairTransition, optional: UInt32 = 0, _ change: (inout [UInt8]) -> Void = { _ in }
    ) throws {
        var context = [UInt8](repeating: 0, count: QueuePairContext.size)
        change(&context)
        try context.withUnsafeBytes {
            try nic.path.modifyQueuePair(Int(number), transition, $0, optional: optional)
        }
    }

    /// As far as RTS, with a peer.
    func connect(_ peer: PairDouble?, retries: UInt64 = 7, receiverRetries: UInt64 = 7, timeout: UInt64 = 14) throws {
        typealias Context = QueuePairContext
        let path = Context.primaryPath
        try modify(.resetToInit) {
            $0[Context.rre] = 1
            $0[Context.rwe] = 1
            $0[Context.rae] = 1
            $0[Context.qKey] = 0x1111
        }
        try modify(.initToRTR) {
            $0[Context.remoteQpn] = UInt64(peer?.number ?? 0)
            $0[AddressPath.rlid.at(path)] = UInt64(peer?.nic.path.ports[0].lid ?? 0)
            $0[Context.logMsgMax] = 30
            $0[Context.mtu] = 5
            $0[Context.minRnrNak] = 12
        }
        try modify(.rtrToRTS) {
            $0[Context.retryCount] = retries
            $0[Context.rnrRetry] = receiverRetries
            $0[AddressPath.ackTimeout.at(path)] = timeout
        }
    }

    static func connected(
        _ left: DataPathDouble, _ right: DataPathDouble, _ service: QueuePair.Service = .reliable,
        receiverRetries: UInt64 = 7, timeout: UInt64 = 14
    ) throws -> (PairDouble, PairDouble) {
        let first = try PairDouble(left, service)
        let second = try PairDouble(right, service)
        try first.connect(second, receiverRetries: receiverRetries, timeout: timeout)
        try second.connect(first, receiverRetries: receiverRetries, timeout: timeout)
        return (first, second)
    }

    // MARK: Requests

    struct Piece {
        var address: Int
        var length: Int
        var key: UInt32
        var bytes: [UInt8] { big(UInt32(length)) + big(key) + big(UInt64(bitPattern: Int64(address))) }
    }

    /// A request behind its control segment: remote address and key, what more its kind has, and data segments.
    static func body(remote: (address: Int, key: UInt32)? = nil, _ more: [UInt8] = [], _ pieces: [Piece] = [])
        -> [UInt8]
    {
        var bytes: [UInt8] = []
        if let remote { bytes += big(UInt64(bitPattern: Int64(remote.address))) + big(remote.key) + [0, 0, 0, 0] }
        return bytes + more + pieces.flatMap(\.bytes)
    }

    static func inline(_ data: [UInt8]) -> [UInt8] {
        let bytes = big(UInt32(data.count) | 1 << 31) + data
        return bytes + [UInt8](repeating: 0, count: (16 - bytes.count % 16) % 16)
    }

    static func vector(_ to: PairDouble, key: UInt32 = 0x1111, number: UInt32? = nil, gid: GID? = nil) -> [UInt8] {
        var bytes = big(key) + big(UInt32(0)) + big((number ?? to.number) | 1 << 31) + [3, 0]
        bytes += big(to.nic.path.ports[0].lid) + [UInt8](repeating: 0, count: 10) + [0x21, 0x40]
        bytes += big(UInt32(gid == nil ? 0 : 1 << 30 | 0x12345)) + big(gid?.high ?? 0) + big(gid?.low ?? 0)
        return bytes
    }

    static func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// Writes a request, and counts it; `ring` tells the NIC.
    func write(_ opcode: UInt8, _ body: [UInt8], immediate: UInt32 = 0, flags: UInt8 = 8, units: Int? = nil) {
        let units = units ?? (16 + body.count + 15) / 16
        var bytes: [UInt8] = [0] + PairDouble.big(posted) + [opcode] + PairDouble.big(number << 8 | UInt32(units))
        bytes += [0, 0, 0, flags] + PairDouble.big(immediate) + body
        let size = 64 << sendLog
        for start in Swift.stride(from: 0, to: bytes.count, by: 64) {
            let place = (Int(posted) * 64 + start) % size
            nic.bus.poke(sendBuffer + place, Array(bytes[start..<min(start + 64, bytes.count)]))
        }
        posted &+= UInt16((max(units, 1) * 16 + 63) / 64)
        nic.put(UInt32(posted), at: record + 4)
    }

    func ring() { nic.path.ringSendQueue(number) }

    /// Posts a request, rings, and works.
    func post(_ opcode: WorkRequestOpcode, _ body: [UInt8], immediate: UInt32 = 0, flags: UInt8 = 8) {
        write(opcode.rawValue, body, immediate: immediate, flags: flags)
        ring()
        nic.run()
    }

    /// Posts a receive request.
    func receive(_ pieces: [Piece]) {
        var bytes = pieces.flatMap(\.bytes)
        if bytes.count < stride {
            bytes += PairDouble.big(UInt32(0)) + PairDouble.big(SpecialKey.terminator) + PairDouble.big(UInt64(0))
        }
        nic.bus.poke(receiveBuffer + (Int(receives) & ((1 << receiveLog) - 1)) * stride, Array(bytes.prefix(stride)))
        receives &+= 1
        nic.put(UInt32(receives), at: record)
    }

    /// How the last sends and receives ended.
    func sent() -> [DataPathDouble.Completion] { nic.polls(&sendCompletions) }
    func received() -> [DataPathDouble.Completion] { nic.polls(&receiveCompletions) }
}
