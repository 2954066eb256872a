import CKernel
import Glibc

/// The newest requests of the served functions, kept in their process. Older ones are only counted.
public final class CaptureRing {
    /// The default capacity: 12 MiB.
    public static let usual = 1 << 18

    private let bytes: UnsafeMutableRawBufferPointer
    private let capacity: Int
    /// Number of requests so far, which is the number of the next one.
    private(set) var end: UInt64 = 0

    /// Keeps the newest `capacity` requests, at least one.
    public init(capacity: Int = CaptureRing.usual) {
        self.capacity = max(capacity, 1)
        bytes = .allocate(byteCount: self.capacity * CapturedTLP.size, alignment: 8)
    }

    deinit { bytes.deallocate() }

    /// Adds a request; replaces the oldest one where the ring is full.
    public func add(_ request: CapturedTLP) {
        request.store(in: place(of: end))
        end &+= 1
    }

    private func place(of number: UInt64) -> UnsafeMutableRawBufferPointer {
        let start = Int(number % UInt64(capacity)) * CapturedTLP.size
        return UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + CapturedTLP.size])
    }

    /// The number of the oldest request kept.
    private var oldest: UInt64 { end > UInt64(capacity) ? end - UInt64(capacity) : 0 }

    /// The answer to a question.
    func answer(_ question: CaptureQuestion) -> [UInt8] {
        let first = min(max(question.first, oldest), end)
        let count = Int(min(UInt64(min(question.count, CaptureAnswer.most)), end - first))
        var requests: [UInt8] = []
        requests.reserveCapacity(count * CapturedTLP.size)
        for number in first..<first + UInt64(count) { requests += place(of: number) }
        return CaptureAnswer.bytes(to: question, end: end, first: first, count: count, requests)
    }
}

/// The devices' end of the guest's port. The guest is not trusted: one question is read at a time, and nothing more
/// is read before its answer was sent.
public final class CaptureSocket {
    /// The connected socket, which does not block.
    public let descriptor: Int32
    private let ring: CaptureRing
    private var question: [UInt8] = []
    private var answer: ArraySlice<UInt8> = []

    /// Takes over a connected socket.
    public init(_ descriptor: Int32, _ ring: CaptureRing) {
        self.descriptor = descriptor
        self.ring = ring
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    deinit { close(descriptor) }

    /// Events for poll(2).
    public var events: Int16 { Int16(answer.isEmpty ? POLLIN : POLLOUT) }

    /// Reads and writes without blocking. Returns false when the connection is over: the other end has closed, or has
    /// sent a malformed question.
    public func serve() -> Bool {
        if answer.isEmpty {
            guard take() else { return false }
            guard question.count == CaptureQuestion.size else { return true }
            guard let asked = CaptureQuestion(question) else { return false }
            question = []
            answer = ring.answer(asked)[...]
        }
        return send()
    }

    private func take() -> Bool {
        let most = CaptureQuestion.size - question.count
        var buffer = [UInt8](repeating: 0, count: most)
        var none = 0
        let count = socket_receive(descriptor, &buffer, most, nil, &none)
        guard count != 0 else { return false }
        guard count > 0 else { return isBusy(count) }
        question += buffer[..<count]
        return true
    }

    private func send() -> Bool {
        let count = answer.withUnsafeBytes { bytes in
            bytes.baseAddress.map { socket_send(descriptor, $0, bytes.count, nil, 0) } ?? 0
        }
        guard count >= 0 else { return isBusy(count) }
        answer = answer.dropFirst(count)
        return true
    }

    private func isBusy(_ result: Int) -> Bool { result == -Int(EAGAIN) || result == -Int(EINTR) }
}
