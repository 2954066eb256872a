import CKernel
import Glibc
import Synchronization

/// A TCP connection for events; each is sent as its length in four bytes and JSON.
final class Connection: @unchecked Sendable {
    /// Bytes of the longest event. More than ``RoleEvent/mostWeight``, as bytes become base64.
    static let longest = 24 << 20
    /// Limit until the peer is known as a role, in bytes; more than any event of the meeting.
    static let longestOfStrangers = 4 << 10
    let descriptor: Int32
    /// The current limit of received events, bytes.
    var longest = Connection.longestOfStrangers
    /// Received bytes of the next event, beginning with its length.
    private var input: [UInt8] = []
    private let isOver = Atomic(false)
    /// Nanoseconds that sending an event may make no progress; it may take four times that altogether.
    private let patience: UInt64
    /// Whether the other side took too long. Part of an event was sent then, so nothing can follow it. One thread sends
    /// at a time.
    private let isStuck = Mutex(false)

    /// Takes over the socket. A peer whose machine is gone is noticed after `silence` seconds, one that does not read
    /// after `patience` nanoseconds.
    init(_ descriptor: Int32, silence: Int32 = 12, patience: UInt64 = Connection.patience) {
        self.descriptor = descriptor
        self.patience = patience
        Connection.set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, silence / 3)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, silence / 3)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 2)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, silence * 1000)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    deinit { close(descriptor) }

    static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, 4)
    }

    /// 30 s. A peer's process always has a thread that receives, so a longer pause means that it hangs.
    static let patience: UInt64 = 30_000_000_000

    /// Result of sending.
    enum Dispatch: Equatable {
        case sent
        /// The connection is lost.
        case lost
        /// The other side does not read, or reads too slowly: nothing more can be sent.
        case stuck
    }

    /// Sends an event. Blocks while the other side is slow, up to the limits.
    @discardableResult
    func send(_ event: RoleEvent) -> Dispatch {
        guard let data = event.json, data.count <= Connection.longest else { return .lost }
        let length = withUnsafeBytes(of: UInt32(data.count).bigEndian) { Array($0) }
        return isStuck.withLock { send(length + data, &$0) }
    }

    private func send(_ bytes: [UInt8], _ isStuck: inout Bool) -> Dispatch {
        guard !isStuck else { return .lost }
        var rest = bytes[...]
        let start = sys_monotonic()
        var progress = start
        while !rest.isEmpty {
            // MSG_NOSIGNAL: a lost connection must not end the program with SIGPIPE.
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 {
                rest = rest.dropFirst(count)
                progress = sys_monotonic()
            } else if count < 0, errno == EINTR {
                continue
            } else if count < 0, errno == EAGAIN {
                let now = sys_monotonic()
                guard now - progress < patience, now - start < 4 * patience else {
                    isStuck = true
                    return .stuck
                }
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&entry, 1, Int32(clamping: (patience - (now - progress)) / 1_000_000 + 1))
            } else {
                return .lost
            }
        }
        return .sent
    }

    /// Result of receiving.
    enum Arrival {
        case event(RoleEvent)
        /// No complete event yet; received bytes are kept.
        case nothing
        /// The connection has ended.
        case end
        /// The received bytes are not an event, for this reason.
        case wrong(String)
    }

    /// Waits for the next event up to `time` nanoseconds; nil for no limit.
    func receive(within time: UInt64?) -> Arrival {
        let end = time.map { sys_monotonic() + $0 }
        var block: [UInt8] = []
        while true {
            let length = input.count < 4 ? 0 : input[..<4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= longest else {
                return .wrong("it sent an event of \(length) bytes; \(longest) are the most")
            }
            let missing = 4 + length - input.count
            if input.count >= 4, missing == 0 {
                defer { input = [] }
                guard let event = RoleEvent(json: input[4...]) else { return .wrong("it sent what is no event") }
                return .event(event)
            }
            if block.count < min(missing, 65536) { block = [UInt8](repeating: 0, count: min(missing, 65536)) }
            let taken = recv(descriptor, &block, min(block.count, missing), Int32(MSG_DONTWAIT))
            if taken > 0 {
                input += block[..<taken]
            } else if taken == 0 || ![EAGAIN, EINTR].contains(errno) {
                return .end
            } else {
                // The limit applies only while no bytes come: received ones are used, however late.
                let now = sys_monotonic()
                if let end, now >= end { return .nothing }
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                poll(&entry, 1, end.map { Int32(clamping: ($0 - now) / 1_000_000 + 1) } ?? -1)
            }
        }
    }

    /// Whether the connection has ended: nothing more will be received.
    var hasEnded: Bool { isOver.load(ordering: .relaxed) }

    func ended() { isOver.store(true, ordering: .relaxed) }

    /// Ends sending.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends both directions; a waiting ``receive(within:)`` returns.
    func cut() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
