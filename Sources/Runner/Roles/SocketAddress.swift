import Glibc
import Kernel

/// HOST:PORT, or [ADDRESS]:PORT.
public struct SocketAddress: Sendable {
    /// A name or an address.
    public let host: String
    /// 1 to 65535.
    public let port: UInt16

    /// nil where the text is not an address.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, text.hasPrefix("[") || !host.contains(":") else { return nil }
        self.host = String(host)
        self.port = port
    }

    var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// A socket for the first of the host's addresses that `use` accepts; throws the last errno, or the resolver's
    /// reason.
    private func socket(_ use: (Int32, UnsafeMutablePointer<addrinfo>) -> Bool) throws(Failure) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host, String(port), &hints, &list)
        guard result == 0 else {
            throw Failure(
                "getaddrinfo", Errno(EADDRNOTAVAIL), object: text, hint: String(cString: gai_strerror(result)))
        }
        defer { freeaddrinfo(list) }
        var reason = EADDRNOTAVAIL
        var next = list
        while let entry = next {
            next = entry.pointee.ai_next
            let descriptor = Glibc.socket(
                entry.pointee.ai_family, entry.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue),
                entry.pointee.ai_protocol)
            if descriptor >= 0, use(descriptor, entry) { return descriptor }
            reason = errno
            if descriptor >= 0 { close(descriptor) }
        }
        throw Failure("connect", Errno(reason), object: text)
    }

    /// A listening socket.
    func listen() throws(Failure) -> Int32 {
        do throws(Failure) {
            return try socket { descriptor, entry in
                Connection.set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
                return bind(descriptor, entry.pointee.ai_addr, entry.pointee.ai_addrlen) == 0
                    && Glibc.listen(descriptor, 16) == 0
            }
        } catch {
            throw Failure(
                "bind", error.errno, object: text,
                hint: error.hint
                    ?? "the first role listens here: name an address of its machine, and a port that is free")
        }
    }

    /// A connected socket; one try, without waiting for a listener.
    func connect() throws(Failure) -> Int32 {
        try socket { Glibc.connect($0, $1.pointee.ai_addr, $1.pointee.ai_addrlen) == 0 }
    }
}
