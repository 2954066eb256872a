import CKernel
import Commands
import Glibc
import Kernel
import Results

/// Shows the progress of a batch: on a terminal as a line that changes, elsewhere as an occasional line; and failures
/// as they occur.
struct Progress {
    private let total: Int
    /// Number of runs that a resumed batch had finished before.
    private let before: Int
    private let color: Bool
    private let line = TerminalLine()
    private let start = sys_monotonic()
    private var last: UInt64 = 0
    private var shown = -1

    init(total: Int, done: Int, color: Bool) {
        self.total = total
        before = done
        self.color = color
    }

    /// Nanoseconds between updates of the line on a terminal, or between two lines elsewhere.
    private var interval: UInt64 { line.isTerminal ? 100_000_000 : 10_000_000_000 }

    mutating func show(_ totals: Totals, running: [String], at now: UInt64) {
        let done = totals.all
        guard now &- max(last, start) > interval, line.isTerminal || done != shown else { return }
        last = now
        shown = done
        var text = "\(done)/\(total) done, \(running.count) running"
        if totals.bad > 0 { text += ", \(colored("\(totals.bad) not passed", 31))" }
        if let left = left(done, at: now) { text += ", \(left) left" }
        guard line.isTerminal else { return print("", to: STDERR_FILENO, after: text) }
        if let first = running.first { text += "  \(PrintableText.line(first))" }
        line.show(text)
    }

    private func left(_ done: Int, at now: UInt64) -> String? {
        let here = done - before
        guard here > 0, done < total else { return nil }
        let seconds = Double(now &- start) / 1e9 / Double(here) * Double(total - done)
        guard seconds < 1e6 else { return nil }
        let whole = Int(seconds.rounded(.up))
        return whole >= 60 ? "\(whole / 60) min \(whole % 60) s" : "\(whole) s"
    }

    private func colored(_ text: String, _ code: Int) -> String { color ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text }

    /// Shows a run that failed, or passed only when it was retried.
    func tell(_ record: RunRecord) {
        end()
        let word = record.flaky ? colored("flaky", 33) : colored(record.outcome.word, 31)
        let text = "\(record.id): \(record.reason ?? "passed when it was tried again")"
        print(": \(text)", to: STDERR_FILENO, after: word)
    }

    /// Removes the changing line.
    func end() { line.clear() }
}
