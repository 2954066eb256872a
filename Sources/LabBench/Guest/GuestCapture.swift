import Glibc
public import Kernel
import Synchronization

/// The requests of the lab's served functions, for a program in the guest. The functions' process beside QEMU sends
/// them over a port. Open it before the program gives up its files. Threads may share one.
public final class GuestCapture: TLPCapture {
    private struct State {
        /// The port's descriptor; -1 where it could not be opened.
        var port: Int32
        /// Why the port is not used any more.
        var failure: Failure?
        /// The functions at the last lookup; a guest may move BARs.
        var functions: GuestFunctions
        var log = TLPLog()
        /// The number of the next request to fetch.
        var next: UInt64 = 0
        var lost: (@Sendable (Int) -> Void)?
    }

    /// The note that must accompany the requests.
    public static let about =
        "requests of the lab's emulated ConnectX, and no hardware's: seconds since its emulator was started, addresses before an "
        + "IOMMU translates them"

    private let state: Mutex<State>
    /// Reads the functions anew.
    private let look: @Sendable () -> GuestFunctions
    /// Limit of an answer's time. The process answers while its functions work, so only a failing process takes long.
    private static let patience: Duration = .seconds(30)
    private static let object = "the lab's capture of requests"

    /// Opens the port; nil where the machine has none. The log begins here: earlier requests are not in it.
    public init?() {
        guard let port = GuestPort.open(GuestJob.capturePort, O_NONBLOCK) else { return nil }
        look = { GuestFunctions() }
        var first = State(port: port, functions: look())
        if port < 0 {
            first.failure = Failure(
                "open", Errno(-port), object: Self.object,
                hint: port == -EBUSY ? "another program of this guest has it: one at a time" : nil)
        }
        state = Mutex(first)
        try? clear()
    }

    /// For an open port, which it takes over.
    init(port: Int32, look: @escaping @Sendable () -> GuestFunctions) {
        self.look = look
        state = Mutex(State(port: port, functions: look()))
    }

    deinit { state.withLock { if $0.port >= 0 { close($0.port) } } }

    /// Calls `request` for each request, and `lost` with the number of those that were overwritten. Both are called
    /// from ``log()`` and ``update()``, which fetch new requests.
    public func watch(_ request: @escaping @Sendable (TLP) -> Void, lost: @escaping @Sendable (Int) -> Void) {
        state.withLock {
            $0.log.sink = request
            $0.lost = lost
        }
    }

    /// See ``TLPCapture/log()``.
    public func log() throws(Failure) -> TLPLog {
        try state.withLock { state throws(Failure) in
            try take(&state)
            return state.log
        }
    }

    /// Fetches new requests.
    public func update() throws(Failure) { try state.withLock { state throws(Failure) in try take(&state) } }

    /// See ``TLPCapture/clear()``.
    public func clear() throws(Failure) {
        try state.withLock { state throws(Failure) in
            if state.log.sink != nil {
                try take(&state)
            } else {
                state.next = try ask(&state, from: .max, 0).end
            }
            state.log.clear()
        }
    }

    // MARK: Fetching

    /// Fetches all requests up to now.
    private func take(_ state: inout State) throws(Failure) {
        var end: UInt64?
        repeat {
            let answer = try ask(&state, from: state.next, CaptureAnswer.most)
            end = end ?? answer.end
            if answer.first > state.next {
                let count = Int(clamping: answer.first - state.next)
                state.log.lose(count)
                state.lost?(count)
            }
            for captured in answer.requests {
                guard let request = named(captured, &state) else {
                    throw fail(
                        &state, EPROTO, "it tells of a function that this guest has not, or has more than one of")
                }
                state.log.append(request)
            }
            state.next = answer.first + UInt64(answer.requests.count)
            if answer.requests.isEmpty { break }
        } while state.next < end ?? 0
    }

    /// Names a request by the known functions, and looks them up again where they do not match. Requests come in order,
    /// so those from before a BAR moved are named by its old address.
    private func named(_ captured: CapturedTLP, _ state: inout State) -> TLP? {
        if let request = state.functions.named(captured) { return request }
        state.functions = look()
        return state.functions.named(captured)
    }

    private func ask(_ state: inout State, from first: UInt64, _ count: UInt32) throws(Failure) -> CaptureAnswer {
        if let failure = state.failure { throw failure }
        let question = CaptureQuestion(mark: .random(in: 1 ... .max), first: first, count: count)
        let end = ContinuousClock.now.advanced(by: Self.patience)
        try send(question, until: end, &state)
        var reader = CaptureReader(question)
        while true {
            let bytes = try receive(until: end, &state)
            do throws(CaptureReader.Refusal) {
                guard let answer = try reader.read(bytes) else { continue }
                // Numbers never decrease.
                guard count == 0 || answer.end >= state.next else { throw .header }
                return answer
            } catch {
                throw fail(&state, EPROTO, "what came is no answer: \(error)")
            }
        }
    }

    private func send(
        _ question: CaptureQuestion, until end: ContinuousClock.Instant, _ state: inout State
    ) throws(Failure) {
        var rest = question.bytes[...]
        while !rest.isEmpty {
            try wait(for: POLLOUT, until: end, &state)
            let count = rest.withUnsafeBytes { write(state.port, $0.baseAddress, $0.count) }
            guard count >= 0 || errno == EAGAIN || errno == EINTR else { throw fail(&state, errno, nil) }
            rest = rest.dropFirst(max(count, 0))
        }
    }

    private func receive(until end: ContinuousClock.Instant, _ state: inout State) throws(Failure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            try wait(for: POLLIN, until: end, &state)
            let count = read(state.port, &buffer, buffer.count)
            if count > 0 { return Array(buffer[..<count]) }
            guard count < 0, errno == EAGAIN || errno == EINTR else {
                throw fail(&state, count == 0 ? EPIPE : errno, "the process of the emulated devices closed it")
            }
        }
    }

    private func wait(
        for event: Int32, until end: ContinuousClock.Instant, _ state: inout State
    ) throws(Failure) {
        var polled = pollfd(fd: state.port, events: Int16(event), revents: 0)
        while true {
            let count = poll(&polled, 1, 100)
            if count > 0 { return }
            guard count == 0 || errno == EINTR else { throw fail(&state, errno, nil) }
            guard ContinuousClock.now < end else {
                throw fail(&state, ETIMEDOUT, "the process of the emulated devices does not answer")
            }
        }
    }

    /// Ends the capture and keeps the failure. Nothing more is fetched, as the next bytes would not be an answer.
    private func fail(_ state: inout State, _ code: Int32, _ hint: String?) -> Failure {
        let failure = Failure("capture", Errno(code), object: Self.object, hint: hint)
        state.failure = failure
        return failure
    }
}
