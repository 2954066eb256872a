import VFIOUser

/// A receive queue that queue pairs share: a list of entries, each of which names the next.
final class SharedReceiveQueue {
    /// Which object of the device it is.
    enum Kind {
        /// SRQ
        case shared
        /// XRC_SRQ: with a completion queue of its own.
        case xrc
        /// RMP
        case pool
    }

    let number: UInt32
    let kind: Kind
    private var context: [UInt8]
    private let buffer: PagedBuffer
    /// Bytes that it takes of the model's own memory.
    var cost: Int { 512 + buffer.cost }
    private let record: UInt64
    private let sizeShift: Int
    private let strideShift: Int
    private let isList: Bool
    private let hasSignature: Bool
    let domain: UInt32
    /// Of an XRC one: its domain there, its completion queue, and what entries of that call it.
    let xrcDomain: UInt32
    let completions: UInt32
    let userIndex: UInt32
    private(set) var limit: UInt16

    private var head: UInt16 = 0
    private var consumed: UInt16 = 0
    private(set) var isBroken = false

    /// From srqc, xrc_srqc or rmpc.
    init(
        _ number: UInt32, _ kind: Kind, context: [UInt8], list: UnsafeRawBufferPointer
    ) throws(CommandFailure) {
        self.number = number
        self.kind = kind
        self.context = context
        let layout = ReceiveQueueLayout(kind)
        record = layout.record.1.map { context[layout.record.0] << 32 | context[$0] << 2 } ?? context[layout.record.0]
        sizeShift = context[int: layout.count]
        strideShift = context[int: layout.stride] + layout.strideBase
        isList = kind != .pool || context[ReceiveMemoryPoolContext.wqType] == 0
        hasSignature = context[flag: layout.signature]
        domain = UInt32(truncatingIfNeeded: context[layout.domain])
        limit = UInt16(truncatingIfNeeded: context[layout.limit])
        if kind == .xrc {
            xrcDomain = UInt32(truncatingIfNeeded: context[XRCSharedReceiveQueueContext.xrcd])
            completions = UInt32(truncatingIfNeeded: context[XRCSharedReceiveQueueContext.cqn])
            userIndex =
                context[flag: XRCSharedReceiveQueueContext.userIndexEqualXrcSrqn]
                ? number : UInt32(truncatingIfNeeded: context[XRCSharedReceiveQueueContext.userIndex])
        } else {
            (xrcDomain, completions, userIndex) = (0, 0, 0)
        }
        guard sizeShift <= 15 else { throw CommandFailure(.badParameter, "the queue's size is above log_max_srq_sz") }
        guard strideShift >= 4, strideShift <= 11 else {
            throw CommandFailure(.badParameter, "a receive request has 16 to 2048 bytes")
        }
        buffer = try PagedBuffer(
            list: list, logPageSize: context[int: layout.pageShift], offset: context[int: layout.pageOffset],
            size: 1 << (sizeShift + strideShift))
    }

    /// What a query finds.
    var queried: [UInt8] {
        var bytes = context
        let layout = ReceiveQueueLayout(kind)
        bytes[layout.limit] = UInt64(limit)
        if kind == .pool {
            bytes[ReceiveMemoryPoolContext.state] = isBroken ? 3 : 1
        } else {
            bytes[SharedReceiveQueueContext.state] = isBroken ? 1 : 0
        }
        return bytes
    }

    /// Tells once that fewer receive requests than these wait; 0 for no more.
    func arm(_ limit: UInt16, _ path: DataPath) {
        self.limit = limit
        guard let waiting = try? waiting(path) else { return }
        checkLimit(waiting, path)
    }

    /// Receive requests that were posted and not taken.
    private func waiting(_ path: DataPath) throws(DMAFault) -> UInt16 {
        UInt16(truncatingIfNeeded: try path.requester.word(record)) &- consumed
    }

    private func checkLimit(_ waiting: UInt16, _ path: DataPath) {
        guard limit > 0, waiting < limit else { return }
        limit = 0
        path.events.raise(.sharedReceiveQueue(.receiveLimit, number))
    }

    /// Takes the next receive request: its index, and its data segments at the start of `entry`.
    func take(into entry: UnsafeMutableRawBufferPointer, _ path: DataPath) -> (index: UInt16, length: Int)? {
        guard !isBroken else { return nil }
        do throws(DMAFault) {
            let waiting = try waiting(path)
            guard waiting != 0 else { return nil }
            let index = head
            let size = 1 << strideShift
            let whole = UnsafeMutableRawBufferPointer(rebasing: entry[..<size])
            try buffer.read(at: Int(index) << strideShift, into: whole, path.requester)
            // The first unit names the next entry; one with a signature follows.
            var first = 0
            if isList {
                head = UInt16(bigEndian: entry.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
                first = 16
            } else {
                head = (head &+ 1) & ((1 << UInt16(sizeShift)) &- 1)
            }
            if hasSignature { first += isList ? 0 : 16 }
            guard head >> UInt16(sizeShift) == 0, first <= size else {
                fail(path)
                return nil
            }
            consumed = consumed &+ 1
            checkLimit(waiting &- 1, path)
            entry.copyMemory(from: UnsafeRawBufferPointer(rebasing: entry[first..<size]))
            return (index, size - first)
        } catch {
            fail(path)
            return nil
        }
    }

    private func fail(_ path: DataPath) {
        isBroken = true
        path.events.raise(.sharedReceiveQueue(.sharedReceiveQueueCatastrophicError, number))
    }
}

/// Where each kind of context has what all of them have.
private struct ReceiveQueueLayout {
    let size: Int
    let pageShift, pageOffset, count, stride, signature, domain, limit: Field
    /// One of 64 bits, or two, the second of which counts in fours.
    let record: (Field, Field?)
    /// What the stride's exponent counts from.
    let strideBase: Int

    init(_ kind: SharedReceiveQueue.Kind) {
        switch kind {
        case .shared:
            typealias Context = SharedReceiveQueueContext
            size = Context.size
            (pageShift, pageOffset, record) = (Context.logPageSize, Context.pageOffset, (Context.dbrAddr, nil))
            (count, stride, strideBase) = (Context.logSrqSize, Context.logRqStride, 4)
            (signature, domain, limit) = (Context.wqSignature, Context.pd, Context.lwm)
        case .xrc:
            typealias Context = XRCSharedReceiveQueueContext
            size = Context.size
            (pageShift, pageOffset) = (Context.logPageSize, Context.pageOffset)
            record = (Context.dbRecordAddrH, Context.dbRecordAddrL)
            (count, stride, strideBase) = (Context.logXrcSrqSize, Context.logRqStride, 4)
            (signature, domain, limit) = (Context.wqSignature, Context.pd, Context.lwm)
        case .pool:
            typealias Context = ReceiveMemoryPoolContext
            size = Context.size
            (pageShift, pageOffset, record) = (Context.logWqPgSz, Context.pageOffset, (Context.dbrAddr, nil))
            (count, stride, strideBase) = (Context.logWqSz, Context.logWqStride, 0)
            (signature, domain, limit) = (Context.wqSignature, Context.pd, Context.lwm)
        }
    }
}
