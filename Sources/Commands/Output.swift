import Glibc
import Kernel
public import Synchronization

/// Exit codes.
public enum ExitStatus: Int32, Sendable {
    /// Every case passed, or some passed and the rest were skipped.
    case pass = 0
    /// A case failed, something was left open, or one of several files could not be run.
    case fail = 1
    /// The command line is wrong, and nothing was run.
    case usage = 2
    /// No comparison is worse, and at least one allows no verdict.
    case undecided = 3
    /// Every case was skipped.
    case skipped = 4
    /// A fault of peerlab's own, or of the lab bench's guest.
    case software = 70
    /// Ctrl-C or SIGTERM; everything was released.
    case interrupted = 130
}

/// The mark before lines of foreign text. No line of peerlab's own begins with it, not even after blanks.
public let foreignMark = "| "

/// Writes a line at once, without buffering: it must be visible when a guest or a device takes the machine down.
/// Foreign text in it is escaped as by ``PrintableText``; where that has several lines, the later ones get the mark.
/// `lead`, such as a coloured word, is written before the line without escaping.
public func print(_ line: String, to descriptor: Int32, after lead: String = "") {
    put(lead + PrintableText.lines(line).joined(separator: "\n    \(foreignMark)") + "\n", to: descriptor)
}

/// Writes the output of another peerlab process, whose foreign lines are marked already.
public func printRelayed(_ text: String, to descriptor: Int32) {
    put(PrintableText.lines(text).map { $0 + "\n" }.joined(), to: descriptor)
}

/// Writes text without escaping: peerlab's own, such as help, or text from a writer that escapes (a record, C, JSON).
public func printDocument(_ text: String, to descriptor: Int32) {
    put(text.hasSuffix("\n") ? text : text + "\n", to: descriptor)
}

private func put(_ text: String, to descriptor: Int32) {
    guard !writeAll(Array(text.utf8), to: descriptor), descriptor == STDOUT_FILENO else { return }
    lostOutput.store(errno, ordering: .relaxed)
}

/// The errno for which a line of the report was lost; 0 for none. A full disk must not look like a pass.
public let lostOutput = Atomic<Int32>(0)

/// Writes all of `bytes`; false where the descriptor takes no more.
@discardableResult
public func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count > 0 { rest = rest.dropFirst(count) }
        if count < 0, errno == EAGAIN {
            // Another process has made this terminal or pipe non-blocking.
            var full = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = poll(&full, 1, -1)
        } else if count < 0, errno != EINTR {
            return false
        }
    }
    return true
}
