import Commands
import Kernel
import Runner

/// Shows on a terminal which case runs.
final class CaseProgress {
    let line: TerminalLine
    private var file = ""
    private var cases: [String] = []

    /// nil where standard error is no terminal.
    init?() {
        line = TerminalLine()
        guard line.isTerminal else { return nil }
    }

    /// Adds an event of a run.
    func take(_ event: RunEvent) {
        switch event {
        case .begins(let result):
            (file, cases) = (PrintableText.line(result.file), [])
            line.show(file)
        case .loaded(_, let cases): self.cases = cases
        case .starts(let index) where cases.indices.contains(index):
            line.show("\(file): case \(index + 1) of \(cases.count): \(PrintableText.line(cases[index]))")
        case .starts, .found: break
        case .ended, .over: line.clear()
        }
    }
}
