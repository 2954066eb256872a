import Glibc

/// Sends lines that must survive the guest's kernel. When ``tell(_:)`` returns, the host has the message. It goes by
/// a socket to the guest's first program, which forwards it and acknowledges.
public final class GuestLine {
    private let socket: Int32
    private var isBroken = false

    /// Bytes of the longest message.
    static let longest = 32 << 20

    /// nil where this is not a guest with our init.
    public init?() {
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return nil }
        guard GuestLine.withAddress({ connect(socket, $0, $1) }) == 0 else {
            close(socket)
            return nil
        }
    }

    deinit { close(socket) }

    /// Sends a line and waits for the acknowledgement; returns without one where the connection is lost.
    public func tell(_ message: [UInt8]) {
        guard !isBroken, !message.isEmpty, message.count <= GuestLine.longest else { return }
        let length = withUnsafeBytes(of: UInt32(message.count).littleEndian) { Array($0) }
        var answer: UInt8 = 0
        guard LabFile.write(length + message, to: socket) else { return isBroken = true }
        var count = read(socket, &answer, 1)
        while count < 0, errno == EINTR { count = read(socket, &answer, 1) }
        isBroken = count != 1
    }

    /// The socket's address, for bind(2) and connect(2).
    static func withAddress(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(GuestJob.line.utf8)) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}

/// The receiving end, in init. It serves several programs, and none of them can block it.
struct GuestLines {
    private let listening: Int32
    private var clients: [(descriptor: Int32, pending: [UInt8])] = []

    /// Most programs connected at once.
    private static let most = 64

    /// Listens; without a socket it serves nothing.
    init() {
        listening = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        _ = GuestLine.withAddress { bind(listening, $0, $1) }
        _ = listen(listening, 64)
    }

    /// Descriptors for poll(2).
    var polled: [pollfd] {
        ([listening] + clients.map(\.descriptor)).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    }

    /// Reads messages; acknowledges each once `pass` has forwarded it. `polled`: the result of poll(2) for the property
    /// of that name.
    mutating func serve(_ polled: ArraySlice<pollfd>, _ pass: ([UInt8]) -> Void) {
        for (index, file) in polled.dropFirst().enumerated().reversed() where file.revents != 0 {
            if !read(from: index, pass) {
                close(clients[index].descriptor)
                clients.remove(at: index)
            }
        }
        if let first = polled.first, first.revents != 0 {
            let client = accept(listening, nil, nil)
            guard client >= 0 else { return }
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            if clients.count < GuestLines.most { clients.append((client, [])) } else { close(client) }
        }
    }

    /// False where a program has closed, or its message is malformed.
    private mutating func read(from index: Int, _ pass: ([UInt8]) -> Void) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = Glibc.read(clients[index].descriptor, &buffer, buffer.count)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        guard count > 0 else { return false }
        clients[index].pending += buffer[..<count]
        while clients[index].pending.count >= 4 {
            let length = clients[index].pending[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
            guard length <= GuestLine.longest else { return false }
            guard clients[index].pending.count >= 4 + length else { return true }
            pass(Array(clients[index].pending[4..<(4 + length)]))
            clients[index].pending.removeFirst(4 + length)
            guard LabFile.write([1], to: clients[index].descriptor) else { return false }
        }
        return true
    }
}
