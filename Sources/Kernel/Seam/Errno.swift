import Glibc

/// An errno value: the number the kernel gave and its name. Source: include/uapi/asm-generic/errno*.h.
public struct Errno: Error, Sendable, Hashable, CustomStringConvertible {
    /// The positive number, 1 to 4095.
    public let code: Int32
    private let file: StaticString
    private let line: UInt32

    /// Wraps a positive errno number.
    public init(_ code: Int32, file: StaticString = #fileID, line: UInt32 = #line) {
        self.code = code
        self.file = file
        self.line = line
    }

    /// The errno of a negative system call result; nil where the call succeeded.
    public init?(result: Int) {
        guard result < 0 else { return nil }
        self.init(Int32(truncatingIfNeeded: -result))
    }

    /// Source line that made this value: "SimKernel/IOAS.swift:146". In a simulated kernel that is the check that
    /// refused, which tells equal numbers apart. It has no other meaning.
    public var origin: String { "\(file):\(line)" }

    /// Equal numbers; ``origin`` does not count.
    public static func == (one: Errno, other: Errno) -> Bool { one.code == other.code }
    /// See ``==(_:_:)``.
    public func hash(into hasher: inout Hasher) { hasher.combine(code) }

    /// The errno with that C name ("EINVAL"); nil for a name this table lacks.
    public init?(name: String) {
        guard let entry = Errno.names.first(where: { $0.value == name }) else { return nil }
        self.init(entry.key)
    }

    /// The C name, or "errno N" where the table has none.
    public var name: String { Errno.names.first { $0.key == code }?.value ?? "errno \(code)" }

    /// The C library's sentence for it ("Invalid argument").
    public var message: String { String(cString: strerror(code)) }

    /// The name.
    public var description: String { name }

    /// The negated number, as a system call returns it.
    public var result: Int { -Int(code) }

    /// The names of all errnos, sorted.
    public static var allNames: [String] { names.map(\.value).sorted() }
}
