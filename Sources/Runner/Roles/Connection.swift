import CKernel
import Glibc
import Synchronization

/// A TCP connection that carries events, each as its length in four bytes and JSON.
final class Connection: @unchecked Sendable {
    /// More than ``RoleEvent/mostWeight`` takes on its way: bytes are base64 there.
    static let longest = 24 << 20
    /// More than any event of the meeting, whose peer may be anyone.
    static let longestOfStrangers = 4 << 10
    let descriptor: Int32
    /// The longest event that is received, bytes.
    var longest = Connection.longestOfStrangers
    /// What has come of the next event, its length first.
    private var input: [UInt8] = []
    private let isOver = Atomic(false)
    /// How long one event may make no progress, nanoseconds; four times as long it may take altogether.
    private let patience: UInt64
    /// Whether the other side took too long: half an event is on its way, and nothing can follow it. One thread sends at a time.
    private let isStuck = Mutex(false)

    /// Takes the socket over. A peer whose machine is gone is noticed after `silence` seconds, and one that takes nothing of
    /// what it is sent after `patience` nanoseconds.
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

    /// Half a minute: a peer's process always has a thread that receives.
    static let patience: UInt64 = 30_000_000_000

    /// What sending comes to.
    enum Dispatch: Equatable {
        case sent
        /// The connection is lost.
        case lost
        /// The other side takes nothing, or too little: nothing more can be sent.
        case stuck
    }

    /// Sends an event, which blocks while the other side is slow, and no longer than it may.
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
            // A connection that is gone must not end the program with SIGPIPE.
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

    /// What receiving comes to.
    enum Arrival {
        case event(RoleEvent)
        /// Not yet; what has come of it stays.
        case nothing
        /// The connection has ended.
        case end
        /// What came is no event, and why.
        case wrong(String)
    }

    /// The next event, waited for so many nanoseconds at most; nil for as long as it takes.
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
                // Only where nothing came: what has come is used, however late.
                let now = sys_monotonic()
                if let end, now >= end { return .nothing }
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                poll(&entry, 1, end.map { Int32(clamping: ($0 - now) / 1_000_000 + 1) } ?? -1)
            }
        }
    }

    /// Whether nothing more will be received.
    var hasEnded: Bool { isOver.load(ordering: .relaxed) }

    func ended() { isOver.store(true, ordering: .relaxed) }

    /// Says that nothing more is sent.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends it for both directions; who waits in ``receive()`` gets nil.
    func cut() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
