import Glibc
import Kernel
import Synchronization

/// The controlling terminal, for questions whose answer grants something. Open it before a script runs: the process may
/// open nothing later.
public final class Terminal: Sendable {
    private let descriptor: Int32
    private let settings: termios
    /// Roles ask one at a time.
    private let isAsking = Mutex(())

    /// nil where no user can answer: there is no terminal, or standard input is something else.
    public init?() {
        guard isatty(STDIN_FILENO) == 1 else { return nil }
        descriptor = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else {
            close(descriptor)
            return nil
        }
        settings.c_lflag |= tcflag_t(ICANON | ECHO)
        self.settings = settings
    }

    deinit { close(descriptor) }

    /// Asks a question; true when the answer is yes. Input typed before the question is discarded.
    public func agrees(to question: String) -> Bool {
        isAsking.withLock { _ in
            var settings = settings
            // Waits until output is shown, and discards pending input.
            guard tcsetattr(descriptor, TCSAFLUSH, &settings) == 0 else { return false }
            let text = "\(Terminal.reset)\n\(PrintableText.line(question)) [y/N] "
            guard writeAll(Array(text.utf8), to: descriptor) else { return false }
            return ["y", "yes"].contains(answer())
        }
    }

    /// Reads one line; empty where that was interrupted.
    private func answer() -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while line.count < 64, read(descriptor, &byte, 1) == 1, byte != 0x0a { line.append(byte) }
        return String(decoding: line, as: UTF8.self).lowercased()
    }

    /// Makes the next text visible whatever state the terminal is in: ends an unfinished sequence (CAN, ST), then sets
    /// ASCII in both character sets, no attributes, a scroll region of the whole screen, the main screen, no reverse
    /// video, and a visible cursor.
    private static let reset =
        "\u{18}\u{1b}\\\u{1b}(B\u{1b})B\u{0f}\u{1b}[0m\u{1b}[!p\u{1b}7\u{1b}[r\u{1b}8\u{1b}[?47l\u{1b}[?5l\u{1b}[?7h\u{1b}[?25h"
}
