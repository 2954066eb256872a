import CKernel
import Glibc
import Kernel

/// A client's connection: reads whole messages with their descriptors from the stream, and keeps replies until the
/// client reads them.
final class Connection {
    /// Why the connection ended.
    enum End: Equatable {
        case closed
        /// The bytes are no message of this protocol, so the start of the next one is not known.
        case notAMessage
        case failed(Errno)
    }

    /// Unsent bytes from which on no further message of this client is read.
    private static let mostWaiting = 4 << 20
    /// Bytes that the buffer for message bodies keeps between messages.
    private static let usualBody = 1 << 16

    private struct Waiting {
        var bytes: [UInt8]
        var sent = 0
        let descriptor: Int32
    }

    let descriptor: Int32
    private var start = [UInt8](repeating: 0, count: Header.size)
    private var startFilled = 0
    private var body: UnsafeMutableRawBufferPointer
    private var bodyFilled = 0
    private var descriptors: [Int32] = []
    /// Whether a message came with more descriptors than any message may have.
    private var hasTooMany = false
    private var waiting: [Waiting] = []
    /// Index of the first waiting message that has not been sent whole.
    private var waitingHead = 0
    private var waitingBytes = 0
    private(set) var end: End?

    /// Takes over a connected socket that does not block.
    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        body = .allocate(byteCount: Connection.usualBody, alignment: 16)
    }

    deinit {
        closeDescriptors()
        body.deallocate()
        sys_close(descriptor)
    }

    /// What poll is to wait for.
    var events: Int16 {
        Int16((waitingBytes < Connection.mostWaiting ? POLLIN : 0) | (waiting.isEmpty ? 0 : POLLOUT))
    }

    // MARK: Receiving

    /// A whole message; its payload and descriptors are gone when `use` returns.
    struct Message {
        let header: Header
        let payload: UnsafeRawBufferPointer
        let descriptors: [Int32]
        let hasTooManyDescriptors: Bool
    }

    /// Reads one message if all of it has arrived; returns whether it did.
    func receive(_ use: (Message) -> Void) -> Bool {
        guard end == nil, waitingBytes < Connection.mostWaiting, fillStart() else { return false }
        let header = start.withUnsafeBytes { Header($0) }
        let size = Int(header.size) - Header.size
        guard size >= 0, Int(header.size) <= Command.longest, header.isRequest || header.isReply else {
            end = .notAMessage
            return false
        }
        guard fillBody(size) else { return false }
        startFilled = 0
        bodyFilled = 0
        let message = Message(
            header: header, payload: UnsafeRawBufferPointer(rebasing: body[..<size]), descriptors: descriptors,
            hasTooManyDescriptors: hasTooMany)
        use(message)
        closeDescriptors()
        return true
    }

    /// Descriptors come with the first byte of their message.
    private func fillStart() -> Bool {
        while startFilled < Header.size {
            var room = Command.mostDescriptors - descriptors.count
            let most = room
            var came = [Int32](repeating: -1, count: room)
            let count = start.withUnsafeMutableBytes {
                $0.baseAddress.map {
                    socket_receive(descriptor, $0 + startFilled, Header.size - startFilled, &came, &room)
                } ?? 0
            }
            descriptors += came.prefix(room)
            hasTooMany = hasTooMany || room > most
            guard take(count) else { return false }
            startFilled += count
        }
        return true
    }

    private func fillBody(_ size: Int) -> Bool {
        if size > body.count || (body.count > Connection.usualBody && bodyFilled == 0 && size <= Connection.usualBody) {
            body.deallocate()
            body = .allocate(byteCount: max(size, Connection.usualBody), alignment: 16)
        }
        while bodyFilled < size {
            // None is expected: all are closed.
            var room = 0
            let count =
                body.baseAddress.map { socket_receive(descriptor, $0 + bodyFilled, size - bodyFilled, nil, &room) } ?? 0
            hasTooMany = hasTooMany || room > 0
            guard take(count) else { return false }
            bodyFilled += count
        }
        return true
    }

    private func take(_ result: Int) -> Bool {
        if result > 0 { return true }
        if result == 0 { end = .closed }
        if let error = Errno(result: result), error.code != EAGAIN, error.code != EINTR {
            end = error.code == ECONNRESET ? .closed : .failed(error)
        }
        return false
    }

    private func closeDescriptors() {
        for one in descriptors { sys_close(one) }
        descriptors = []
        hasTooMany = false
    }

    // MARK: Sending

    /// Sends a message, or keeps it until the client reads. Each message is a send of its own: a client may take a header
    /// that comes in parts for a broken one. A descriptor must stay open as long as this.
    func send(_ message: UnsafeRawBufferPointer, descriptor: Int32 = -1) {
        guard end == nil, let base = message.baseAddress else { return }
        var sent = 0
        if waiting.isEmpty {
            let result = sendPart(base, message.count, descriptor)
            guard goesOn(result) else { return }
            sent = max(0, result)
        }
        guard sent < message.count else { return }
        waiting.append(Waiting(bytes: Array(message[sent...]), descriptor: sent == 0 ? descriptor : -1))
        waitingBytes += message.count - sent
    }

    /// Sends as much of the waiting messages as the client takes.
    func flush() {
        while end == nil, waitingHead < waiting.count {
            let first = waiting[waitingHead]
            let rest = first.bytes.count - first.sent
            let result = first.bytes.withUnsafeBytes {
                $0.baseAddress.map {
                    sendPart($0 + first.sent, rest, first.sent == 0 ? first.descriptor : -1)
                } ?? 0
            }
            guard goesOn(result), result > 0 else { return }
            waitingBytes -= result
            guard result == rest else {
                waiting[waitingHead].sent += result
                continue
            }
            waiting[waitingHead].bytes = []
            waitingHead += 1
            if waitingHead == waiting.count || waitingHead >= 4096 {
                waiting.removeFirst(waitingHead)
                waitingHead = 0
            }
        }
    }

    private func sendPart(_ bytes: UnsafeRawPointer, _ count: Int, _ descriptor: Int32) -> Int {
        withUnsafePointer(to: descriptor) { socket_send(self.descriptor, bytes, count, $0, descriptor < 0 ? 0 : 1) }
    }

    private func goesOn(_ result: Int) -> Bool {
        guard let error = Errno(result: result), error.code != EAGAIN, error.code != EINTR else { return true }
        // The client has gone; what it sent before that is still read.
        if error.code == EPIPE {
            waiting = []
            waitingHead = 0
            waitingBytes = 0
            return false
        }
        end = .failed(error)
        return false
    }
}
