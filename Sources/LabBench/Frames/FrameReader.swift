/// Decodes frames of an untrusted peer; each header is checked before the contents are kept.
public struct FrameReader: Sendable {
    /// Limits of all that the other side may send; more is refused.
    public struct Limits: Sendable {
        /// Bytes of output and errors.
        public var output: Int
        /// Bytes of files.
        public var files: Int
        /// Bytes of messages by ``GuestLine``.
        public var told: Int
        /// Number of files.
        public var fileCount: UInt8

        /// Limits for a job that names `fileCount` files.
        public init(output: Int = 64 << 20, files: Int = 256 << 20, told: Int = 256 << 20, fileCount: UInt8) {
            self.output = output
            self.files = files
            self.told = told
            self.fileCount = fileCount
        }
    }

    /// Why the received bytes are refused.
    public enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        /// A header with a kind that this side does not accept, or with invalid bits.
        case noFrame([UInt8])
        /// A length that the kind cannot have.
        case length(Frame.Kind, UInt32)
        /// A frame at the wrong time: before `started`, after `end`, or twice.
        case order(Frame.Kind)
        /// A file that the job does not name.
        case file(UInt8)
        /// More output than the limit, bytes.
        case output(Int)
        /// More bytes of files than the limit.
        case files(Int)
        /// More bytes of messages than the limit.
        case told(Int)

        /// One line.
        public var description: String {
            switch self {
            case .noFrame(let bytes):
                "it sent what is no frame: " + bytes.map { String($0, radix: 16) }.joined(separator: " ")
            case .length(let kind, let length): "it sent a frame '\(kind)' of \(length) bytes"
            case .order(let kind): "it sent a frame '\(kind)' where none can be"
            case .file(let number): "it sent file \(number), which nobody asked for"
            case .output(let limit): "it printed more than \(limit >> 20) MiB"
            case .files(let limit): "it sent files of more than \(limit >> 20) MiB"
            case .told(let limit): "it told more than \(limit >> 20) MiB"
            }
        }
    }

    private enum State { case begin, running, ended }

    private let limits: Limits?
    private var state = State.begin
    private var pending: [UInt8] = []
    private var output = 0
    private var files = 0
    private var told = 0

    /// Reads frames of a guest.
    public init(fromGuest limits: Limits) { self.limits = limits }

    /// Reads frames of a host.
    public init(fromHost: ()) { limits = nil }

    /// Adds bytes, and passes each complete frame to `take`. After a refusal it must not be called again.
    public mutating func read(_ bytes: some Sequence<UInt8>, _ take: (Frame) -> Void) throws(Refusal) {
        pending += bytes
        var rest = pending[...]
        while rest.count >= Frame.headerLength {
            let header = Array(rest.prefix(Frame.headerLength))
            let (kind, length) = try check(header)
            guard rest.count - Frame.headerLength >= length else { break }
            rest = rest.dropFirst(Frame.headerLength)
            take(Frame(kind, file: header[1], Array(rest.prefix(length))))
            rest = rest.dropFirst(length)
            count(kind, length)
        }
        pending = Array(rest)
    }

    /// Bytes kept of an incomplete frame.
    public var pendingCount: Int { pending.count }

    private func check(_ header: [UInt8]) throws(Refusal) -> (Frame.Kind, Int) {
        guard let kind = Frame.Kind(rawValue: header[0]), header[2] == 0, header[3] == 0,
            kind == .file || header[1] == 0
        else { throw .noFrame(header) }
        let length = header[4...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard lengths(of: kind).contains(length) else { throw .length(kind, length) }
        guard let limits else {
            guard kind == .interrupt || kind == .report else { throw .order(kind) }
            return (kind, Int(length))
        }
        let isExpected =
            switch kind {
            case .started: state == .begin
            case .output, .errors, .file, .told, .beat, .end: state == .running
            case .interrupt, .report: false
            }
        guard isExpected else { throw .order(kind) }
        if kind == .file, header[1] >= limits.fileCount { throw .file(header[1]) }
        if kind == .output || kind == .errors, Int(length) > limits.output - output { throw .output(limits.output) }
        if kind == .file, Int(length) > limits.files - files { throw .files(limits.files) }
        if kind == .told, Int(length) > limits.told - told { throw .told(limits.told) }
        return (kind, Int(length))
    }

    private func lengths(of kind: Frame.Kind) -> ClosedRange<UInt32> {
        switch kind {
        case .started, .interrupt, .report, .beat: 0...0
        case .output, .errors, .file, .told: 1...UInt32(Frame.mostContents)
        case .end: 4...4
        }
    }

    private mutating func count(_ kind: Frame.Kind, _ length: Int) {
        switch kind {
        case .started: state = .running
        case .end: state = .ended
        case .output, .errors: output += length
        case .file: files += length
        case .told: told += length
        case .interrupt, .report, .beat: break
        }
    }
}
