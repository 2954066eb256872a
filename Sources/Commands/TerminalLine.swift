import Glibc
import Synchronization

/// A line of progress on standard error: written anew each time, and gone before anything else is printed. Where standard
/// error is no terminal there is none.
public final class TerminalLine: Sendable {
    /// Whether standard error is a terminal.
    public let isTerminal = isatty(STDERR_FILENO) == 1
    /// What it shows; nil for no line.
    private let shown = Mutex<String?>(nil)
    private static let removal = "\r\u{1b}[2K"

    /// No line so far.
    public init() {}

    /// Shows a text, in place of the one before. It may have colours; foreign parts of it are escaped already.
    public func show(_ text: String) {
        guard isTerminal else { return }
        shown.withLock { shown in
            shown = text
            TerminalLine.write(text)
        }
    }

    /// Removes the line.
    public func clear() {
        shown.withLock { shown in
            if shown != nil { TerminalLine.write(nil) }
            shown = nil
        }
    }

    /// Prints, with the line removed meanwhile.
    public func aside(_ body: () -> Void) {
        shown.withLock { shown in
            if shown != nil { TerminalLine.write(nil) }
            body()
            if let shown { TerminalLine.write(shown) }
        }
    }

    /// Removes the line of a process that has died.
    public static func clearLeftover() {
        if isatty(STDERR_FILENO) == 1 { write(nil) }
    }

    private static func write(_ text: String?) {
        var size = winsize()
        let width = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 10 ? Int(size.ws_col) : 80
        // A longer line would wrap and leave its first part. Colour sequences are counted as width here, so the text may be
        // cut too early, at most within a name.
        let line = text.map { String(String.UnicodeScalarView($0.unicodeScalars.prefix(width - 1))) + "\u{1b}[0m" }
        _ = writeAll(Array((removal + (line ?? "")).utf8), to: STDERR_FILENO)
    }
}
