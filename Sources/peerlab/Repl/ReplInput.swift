import CKernel
import Commands
import Glibc
import Kernel
import Runner

/// Where the lines of a session come from: a terminal, or any other input.
final class ReplInput {
    /// What reading a line gives.
    enum Line {
        case text(String)
        /// It cannot be run, and why.
        case unusable(String)
        /// A signal came meanwhile.
        case interrupted
        case end
    }

    /// Bytes of a line, and of a statement of several lines.
    static let longest = 1 << 20

    private let editor: LineEditor?
    /// Whether a user types.
    let isTerminal: Bool
    private let history: LineHistory?
    private var rest: [UInt8] = []
    /// Whether the rest of a line that is too long is being left out.
    private var isSkipping = false

    /// Opens what it needs: later the process may open no file.
    init(complete: @escaping (String) -> [String]) {
        isTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
        editor = isTerminal ? LineEditor(complete: complete) : nil
        guard let editor else {
            if isTerminal {
                print("(no history and no completion: libedit.so.2 is not installed)", to: STDERR_FILENO)
            }
            history = nil
            return
        }
        do throws(Failure) {
            let history = try LineHistory()
            for line in history.lines { editor.remember(line) }
            self.history = history
        } catch {
            print("(lines are not remembered: \(error.message))", to: STDERR_FILENO)
            history = nil
        }
    }

    /// The next line, without its end.
    func next(_ prompt: String) -> Line {
        let before = process_signals()
        guard let editor else {
            if isTerminal { _ = writeAll(Array(prompt.utf8), to: STDOUT_FILENO) }
            return plain(before)
        }
        guard let line = editor.read(prompt) else { return process_signals() > before ? .interrupted : .end }
        guard line.utf8.count <= ReplInput.longest else { return ReplInput.tooLong }
        if line.contains(where: { !$0.isWhitespace }) {
            editor.remember(line)
            history?.add(line)
        }
        return .text(line)
    }

    private static let tooLong = Line.unusable("a line may have \(longest >> 20) MiB; this one is left out")

    private func plain(_ before: Int32) -> Line {
        while true {
            if let end = rest.firstIndex(of: 0x0a) {
                defer { rest.removeFirst(end + 1) }
                return line(rest[..<end])
            }
            if rest.count > ReplInput.longest {
                rest = []
                isSkipping = true
            }
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            if count < 0, errno == EINTR, process_signals() == before { continue }
            guard count >= 0 else { return .interrupted }
            if count == 0 {
                defer { rest = [] }
                return rest.isEmpty && !isSkipping ? .end : line(rest[...])
            }
            rest += chunk[..<count]
        }
    }

    private func line(_ bytes: ArraySlice<UInt8>) -> Line {
        defer { isSkipping = false }
        guard !isSkipping, bytes.count <= ReplInput.longest else { return ReplInput.tooLong }
        guard !bytes.contains(0) else { return .unusable("a line has a zero byte; in a string \\0 is one") }
        // Lua would get other bytes than those that were typed.
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return .unusable("a line is not UTF-8; in a string \\xNN is any byte")
        }
        return .text(text)
    }
}
