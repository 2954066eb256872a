import FoundationEssentials
import Glibc
import Synchronization

/// A TCP connection that carries events, each as its length in four bytes and JSON.
final class Connection: @unchecked Sendable {
    /// More than any value a role may send.
    private static let longest = 64 << 20
    private let descriptor: Int32
    private let isOver = Atomic(false)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    /// Takes the socket over. A peer whose machine is gone is noticed after `silence` seconds.
    init(_ descriptor: Int32, silence: Int32 = 12) {
        self.descriptor = descriptor
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        Connection.set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, silence / 3)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, silence / 3)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 2)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, silence * 1000)
        Connection.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    deinit {
        close(descriptor)
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, 4)
    }

    /// When receiving gives up; 0 for never.
    private var deadline = 0

    /// Seconds that receiving one event takes at most, however it trickles in; 0 for ever.
    func limitWait(_ seconds: Int) {
        deadline = seconds == 0 ? 0 : time(nil) + seconds
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    /// False where the connection is lost.
    @discardableResult
    func send(_ event: RoleEvent) -> Bool {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(event), data.count <= Connection.longest else { return false }
        let length = withUnsafeBytes(of: UInt32(data.count).bigEndian) { Array($0) }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        var rest = (length + data)[...]
        while !rest.isEmpty {
            // A connection that is gone must not end the program with SIGPIPE.
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0, errno != EINTR { return false }
        }
        return true
    }

    /// The next event; nil where the connection has ended, or what came is none.
    func receive() -> RoleEvent? {
        guard let header = read(4) else { return nil }
        let length = header.reduce(0) { $0 << 8 | Int($1) }
        guard length <= Connection.longest, let bytes = read(length) else { return nil }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try? decoder.decode(RoleEvent.self, from: Data(bytes))
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: min(count, 65536))
        while bytes.count < count {
            let taken = recv(descriptor, &block, min(block.count, count - bytes.count), 0)
            if taken < 0, errno == EINTR { continue }
            if deadline != 0, time(nil) > deadline {
                errno = EAGAIN
                return nil
            }
            guard taken > 0 else { return nil }
            bytes += block[..<taken]
        }
        return bytes
    }

    /// Whether nothing more will be received.
    var hasEnded: Bool { isOver.load(ordering: .relaxed) }

    func ended() { isOver.store(true, ordering: .relaxed) }

    /// Says that nothing more is sent.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends it for both directions; who waits in ``receive()`` gets nil.
    func cut() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
