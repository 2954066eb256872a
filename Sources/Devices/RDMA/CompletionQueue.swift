import CKernel
public import Kernel

/// How a work request ended: a struct ibv_wc.
public struct Completion: Sendable {
    /// The request's wr_id.
    public let id: UInt64
    /// enum ibv_wc_status; 0 is success.
    public let status: UInt32
    /// enum ibv_wc_opcode
    public let opcode: UInt32
    /// Bytes that came in; of what is no receive request the message's length, not on every NIC.
    public let bytes: UInt32
    /// The provider's own reason.
    public let vendorError: UInt32
    /// The local queue pair.
    public let number: UInt32
    /// Immediate data in host byte order; nil where none came.
    public let immediate: UInt32?
    /// Of a received datagram its sender's queue pair number; the message lies 40 bytes behind the receive request's start.
    public let sender: UInt32?

    init(_ completion: ibv_wc) {
        id = completion.wr_id
        status = completion.status.rawValue
        opcode = completion.opcode.rawValue
        bytes = completion.byte_len
        vendorError = completion.vendor_err
        number = completion.qp_num
        let hasImmediate = completion.wc_flags & IBV_WC_WITH_IMM.rawValue != 0
        sender = completion.isOfDatagram ? completion.src_qp : nil
        immediate = hasImmediate ? UInt32(bigEndian: completion.imm_data) : nil
    }

    /// The C name without IBV_WC_: "REM_ACCESS_ERR".
    public var statusName: String { Completion.name(ofStatus: status) }

    /// See ``statusName``.
    public static func name(ofStatus status: UInt32) -> String {
        let names = Layout.completionStatuses
        return names.indices.contains(Int(status)) ? names[Int(status)] : "status \(status)"
    }

    /// The C name without IBV_WC_, in small letters: "rdma_write", "recv".
    public var operation: String {
        switch ibv_wc_opcode(rawValue: opcode) {
        case IBV_WC_SEND: "send"
        case IBV_WC_RDMA_WRITE: "rdma_write"
        case IBV_WC_RDMA_READ: "rdma_read"
        case IBV_WC_COMP_SWAP: "comp_swap"
        case IBV_WC_FETCH_ADD: "fetch_add"
        case IBV_WC_BIND_MW: "bind_mw"
        case IBV_WC_RECV: "recv"
        case IBV_WC_RECV_RDMA_WITH_IMM: "recv_rdma_with_imm"
        default: "opcode \(opcode)"
        }
    }
}

/// A completion queue: ibv_create_cq(3).
public struct CompletionQueue: ~Copyable {
    private let kernel: any Kernel
    let cq: UnsafeMutablePointer<ibv_cq>
    private let channel: UnsafeMutablePointer<ibv_comp_channel>?
    /// False once the queue is destroyed, though its channel may not be.
    private var hasQueue = true
    private let siblings: OpenChildCount
    /// Taken by a wait that ended too soon.
    private var held: [Completion] = []
    /// How messages call it.
    public let label: String
    /// False once it is destroyed.
    public private(set) var isOpen = true

    init(
        _ kernel: any Kernel, _ cq: UnsafeMutablePointer<ibv_cq>, _ channel: UnsafeMutablePointer<ibv_comp_channel>?,
        in siblings: OpenChildCount, label: String
    ) {
        self.kernel = kernel
        self.cq = cq
        self.channel = channel
        self.siblings = siblings
        self.label = "cq of \(label)"
        siblings.count += 1
    }

    /// ibv_poll_cq(3): at most `count` completions, oldest first.
    public mutating func poll(_ count: Int) throws(Failure) -> [Completion] {
        guard held.isEmpty else {
            let first = Array(held.prefix(count))
            held.removeFirst(first.count)
            return first
        }
        try check("ibv_poll_cq")
        return try kernel.ask(Verbs.ibv_poll_cq, cq, Int32(clamping: count), of: label).map(Completion.init)
    }

    /// Polls until `count` completions came; ETIMEDOUT after `timeout` nanoseconds, EINTR where a signal came or `stop` is
    /// no longer 0. What came before stays for the next poll.
    public mutating func wait(_ count: Int, timeout: UInt64, stop: UnsafePointer<Int32>?) throws(Failure)
        -> [Completion]
    {
        let end = kernel.monotonic() &+ timeout
        var found: [Completion] = []
        do throws(Failure) {
            while true {
                found += try poll(count - found.count)
                guard found.count < count else { return found }
                guard kernel.monotonic() < end else {
                    throw Failure(
                        "ibv_poll_cq", .timedOut, object: label,
                        hint: "\(found.count) of \(count) completions came, which stay to be polled; are all requests "
                            + "signalled, is the peer there?")
                }
                let isStopped = stop.map { $0.pointee != 0 } ?? false
                if let errno = isStopped ? .interrupted : Errno(result: kernel.sleep(nanoseconds: 20_000)) {
                    throw Failure("ibv_poll_cq", errno, object: label)
                }
            }
        } catch {
            held = found + held
            throw error
        }
    }

    /// EINVAL once the queue itself is destroyed, though its channel could not be.
    func check(_ operation: String) throws(Failure) {
        guard hasQueue else {
            throw Failure(operation, .invalid, object: label, of: .destroyedQueue)
        }
    }

    private func events() throws(Failure) -> UnsafeMutablePointer<ibv_comp_channel> {
        guard let channel else {
            throw Failure("ibv_req_notify_cq", .invalid, object: label, of: .queueWithoutEvents)
        }
        return channel
    }

    /// ibv_req_notify_cq(3): the next completion makes an event; `solicitedOnly`, the next that its sender asked for.
    public func requestEvent(solicitedOnly: Bool) throws(Failure) {
        _ = try events()
        try check("ibv_req_notify_cq")
        try kernel.ask(Verbs.ibv_req_notify_cq, cq, solicitedOnly, of: label)
    }

    /// Waits for an event, without using the processor; ETIMEDOUT after `timeout` nanoseconds, EINTR where a signal came or
    /// `stop` is no longer 0.
    public func waitEvent(timeout: UInt64, stop: UnsafePointer<Int32>?) throws(Failure) {
        let channel = try events()
        do throws(Errno) {
            try EventWait.wait(kernel, timeout: timeout, stop: stop) { (slice) throws(Errno) in
                try kernel.call(Verbs.ibv_get_cq_event, channel, slice) ? () : nil
            }
        } catch {
            throw Failure("ibv_get_cq_event", error, object: label)
        }
    }

    /// ibv_modify_cq(3): an event after `count` completions, or `period` microseconds after the first.
    public func moderate(count: UInt16, period: UInt16) throws(Failure) {
        try check("ibv_modify_cq")
        try kernel.ask(Verbs.ibv_modify_cq, cq, count, period, of: label)
    }

    /// ibv_destroy_cq(3) and, where it has one, ibv_destroy_comp_channel(3). EBUSY while a queue pair uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, cq, channel, label) = (kernel, cq, channel, label)
        if channel != nil, hasQueue {
            do throws(Errno) { try kernel.call(Verbs.ibv_destroy_cq, cq) } catch {
                guard error == .noEntry else { throw Failure("ibv_destroy_cq", error, object: label) }
            }
            hasQueue = false
        }
        try siblings.end(&isOpen, channel == nil ? "ibv_destroy_cq" : "ibv_destroy_comp_channel", label) {
            () throws(Errno) in
            if let channel {
                try kernel.call(Verbs.ibv_destroy_comp_channel, channel)
            } else {
                try kernel.call(Verbs.ibv_destroy_cq, cq)
            }
        }
    }
}

/// Waiting for events of either kind, in slices short enough to be interrupted.
enum EventWait {
    /// What `take` gives, which waits at most so many milliseconds; ETIMEDOUT after `timeout` nanoseconds, EINTR where
    /// `stop` is no longer 0.
    static func wait<Event>(
        _ kernel: any Kernel, timeout: UInt64, stop: UnsafePointer<Int32>?,
        _ take: (Int32) throws(Errno) -> Event?
    ) throws(Errno) -> Event {
        let end = kernel.monotonic() &+ timeout
        while true {
            let now = kernel.monotonic()
            let slice = now < end ? min((end - now) / 1_000_000 + 1, 50) : 0
            if let event = try take(Int32(slice)) { return event }
            if let stop, stop.pointee != 0 { throw .interrupted }
            guard now < end else { throw .timedOut }
        }
    }
}
