/// A place in a file; lines and columns count from 1, columns in bytes.
public struct Place: Hashable, Comparable, Sendable {
    /// The line.
    public let line: Int
    /// The column.
    public let column: Int

    /// A place.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// In the order of the file.
    public static func < (one: Place, other: Place) -> Bool {
        (one.line, one.column) < (other.line, other.column)
    }
}

/// What is wrong in a file, or probably wrong.
public struct Finding: Hashable, Sendable {
    /// How bad it is.
    public enum Severity: String, Sendable {
        /// The line does what its author hardly meant.
        case warning
        /// The file cannot be loaded, or the line raises an error when it is reached.
        case error
    }

    /// Where.
    public let place: Place
    /// How bad it is.
    public let severity: Severity
    /// One sentence; text of the file in it is not escaped.
    public let message: String

    /// A finding.
    public init(_ place: Place, _ severity: Severity, _ message: String) {
        self.place = place
        self.severity = severity
        self.message = message
    }
}
