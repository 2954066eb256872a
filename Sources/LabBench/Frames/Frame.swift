/// A message between the lab's guest and the host, over their one port.
///
/// A frame is a header of eight bytes and its contents. The header: kind (1 byte); number of a file (1), 0 for other
/// kinds; zero (2); length of the contents (4), little-endian.
public struct Frame: Equatable, Sendable {
    /// The kind of a frame.
    public enum Kind: UInt8, CaseIterable, Sendable {
        /// From the guest: user space was reached. No contents; the first frame, sent once.
        case started = 1
        /// From the guest: output of the command.
        case output = 2
        /// From the guest: standard error of the command, and messages of init.
        case errors = 3
        /// From the guest: the next part of one of the command's files, by its number among those that the job names.
        case file = 4
        /// From the guest: the command's exit code, four bytes, little-endian. The last frame.
        case end = 5
        /// To the guest: a Ctrl-C for the command. No contents.
        case interrupt = 6
        /// To the guest: print the command's kernel stack on the console. No contents.
        case report = 7
        /// From the guest: messages that must survive a kernel crash (``GuestLine``).
        case told = 8
        /// From the guest: init is alive. No contents; sent every second.
        case beat = 9
    }

    /// Its kind.
    public let kind: Kind
    /// Number of the file that a part belongs to; 0 for other kinds.
    public let file: UInt8
    /// The bytes after the header.
    public let contents: [UInt8]

    /// Bytes of a header.
    public static let headerLength = 8
    /// Most bytes of one frame's contents.
    public static let mostContents = 64 << 10

    /// A frame; `contents` has at most `mostContents` bytes.
    public init(_ kind: Kind, file: UInt8 = 0, _ contents: [UInt8] = []) {
        self.kind = kind
        self.file = file
        self.contents = contents
    }

    /// The end of a command.
    public init(end code: Int32) {
        self.init(.end, withUnsafeBytes(of: code.littleEndian) { Array($0) })
    }

    /// The encoded frame.
    public var bytes: [UInt8] {
        [kind.rawValue, file, 0, 0] + withUnsafeBytes(of: UInt32(contents.count).littleEndian) { Array($0) } + contents
    }

    /// The exit code of an `end` frame; nil for others.
    public var exitCode: Int32? {
        guard kind == .end, contents.count == 4 else { return nil }
        return contents.reversed().reduce(0) { $0 << 8 | Int32($1) }
    }

    /// Splits `bytes` into frames.
    public static func parts(_ kind: Kind, file: UInt8 = 0, _ bytes: [UInt8]) -> [Frame] {
        stride(from: 0, to: bytes.count, by: mostContents).map {
            Frame(kind, file: file, Array(bytes[$0..<min($0 + mostContents, bytes.count)]))
        }
    }
}
