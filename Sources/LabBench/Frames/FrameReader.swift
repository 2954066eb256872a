/// Decodes frames of an untrusted peer: each is checked before anything of it is kept.
public struct FrameReader: Sendable {
    /// The most that the other side may send in all; what exceeds it is refused.
    public struct Limits: Sendable {
        /// Bytes of output and errors.
        public var output: Int
        /// Bytes of files.
        public var files: Int
        /// Bytes of lines by ``GuestLine``.
        public var told: Int
        /// How many files there are.
        public var fileCount: UInt8

        /// Limits of a job that names `fileCount` files.
        public init(output: Int = 64 << 20, files: Int = 256 << 20, told: Int = 256 << 20, fileCount: UInt8) {
            self.output = output
            self.files = files
            self.told = told
            self.fileCount = fileCount
        }
    }

    /// Why what came is refused.
    public enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        /// A header of no kind that this side takes, or with bits that no frame has.
        case noFrame([UInt8])
        /// A length that the kind cannot have.
        case length(Frame.Kind, UInt32)
        /// A frame where it cannot come: before `started`, behind `end`, or twice.
        case order(Frame.Kind)
        /// A file that the job does not name.
        case file(UInt8)
        /// More output than the limit, bytes.
        case output(Int)
        /// More of files than the limit, bytes.
        case files(Int)
        /// More told than the limit, bytes.
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

    /// A reader of what a guest sends.
    public init(fromGuest limits: Limits) { self.limits = limits }

    /// A reader of what a host sends.
    public init(fromHost: ()) { limits = nil }

    /// Takes bytes as they come and gives each frame that is whole to `take`. After a refusal nothing more is to be read.
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

    /// Bytes that are kept of a frame that is not whole.
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
