import Bindings
import Kernel
public import Results
import Runner

/// Lines of text about results.
public enum ResultsText {
    /// All that is known of a run, indented.
    public static func details(_ record: Record) -> [String] {
        var lines: [String] = []
        for (name, value) in record.settings.sorted(by: { $0.key < $1.key }) { lines.append("  set \(name)=\(value)") }
        for one in record.result?.cases ?? [] {
            lines.append("  \(one.verdict.word)  \(one.name)" + (one.message.map { ": \($0)" } ?? ""))
            lines += (one.further ?? []).flatMap { PrintableText.lines($0.line) }.map { "        \($0)" }
            lines += (one.warnings ?? []).map { "        WARNING: \($0)" }
            lines += (one.kernel?.shown ?? []).map { "        \($0)" }
            lines += one.log.flatMap { PrintableText.lines($0) }.map { "        | \($0)" }
            lines += one.metrics.map { "        \($0.label) = \(amount($0.value, $0.unit))" }
        }
        for attempt in record.attempts {
            let end = attempt.signal.map { "ended by \($0)" } ?? attempt.exit.map { "exited with \($0)" } ?? ""
            lines.append("  attempt: \(attempt.outcome.rawValue), \(attempt.wall_ns / 1_000_000) ms, \(end)")
        }
        lines += record.trace.map { "  trace: \($0)" }
        let errors = PrintableText.lines(record.errors ?? "").filter { !$0.isEmpty }
        lines += errors.map { "  errors: \($0)" }
        return lines.map { PrintableText.line($0) }
    }

    /// A number with its unit as people write it: "1.07 ms", "12.5 GB/s", "4096 B", "3.2 M".
    public static func amount(_ value: Double, _ unit: String) -> String {
        let times: [(Double, String)] = [(1e9, "s"), (1e6, "ms"), (1e3, "us")]
        let scales: [(Double, String)] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")]
        if unit == "ns" {
            // Longer times stay seconds.
            let time = times.first { abs(value) >= $0.0 } ?? (1, "ns")
            return "\(digits(value / time.0)) \(time.1)"
        }
        // A size is a power of two as often as not, and is read better whole.
        let scale = unit == "B" ? nil : scales.first { abs(value) >= $0.0 }
        let name = (scale?.1 ?? "") + unit
        return digits(value / (scale?.0 ?? 1)) + (name.isEmpty ? "" : " " + name)
    }

    /// Three digits at least; those before the point are all there.
    private static func digits(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        let places = abs(value) >= 100 ? 1.0 : abs(value) >= 10 ? 10.0 : abs(value) >= 1 ? 100.0 : 1000.0
        let rounded = (value * places).rounded() / places
        return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int64(rounded))" : "\(rounded)"
    }

    /// A share as a signed percentage.
    public static func percent(_ share: Double) -> String {
        let value = (share * 1000).rounded() / 10
        return (value > 0 ? "+" : "") + "\(value) %"
    }

    /// What became of one measurement.
    public static func line(_ change: Change) -> String {
        let comparison = change.comparison
        let effect = comparison.effect
        func text(_ value: Double) -> String {
            effect.isShare ? percent(value) : (value > 0 ? "+" : "") + amount(value, change.unit)
        }
        let range = effect.interval.map { "\(text($0.lowerBound)) to \(text($0.upperBound))" } ?? "no bounds"
        let found = comparison.test.probability
        let probability = found < 0.001 ? "p < 0.001" : "p = \((found * 1000).rounded() / 1000)"
        let medians = "\(amount(comparison.medians.0, change.unit)) -> \(amount(comparison.medians.1, change.unit))"
        return
            "\(change.verdict.rawValue): \(change.name): \(medians), \(text(effect.value)) (\(range)), \(probability), "
            + "n = \(comparison.counts.0), \(comparison.counts.1)" + (change.doubt.map { "; \(reason($0))" } ?? "")
    }

    private static func reason(_ doubt: Change.Doubt) -> String {
        switch doubt {
        case .needs(let count): "needs at least \(count) runs of each to show anything"
        case .shapes: "most values moved one way and their median the other"
        case .unconfirmed: "worse at first and not again; more runs would tell"
        }
    }

    /// How many measurements became what.
    public static func summary(_ changes: [Change]) -> String {
        func count(_ verdict: Change.Verdict) -> Int { changes.count { $0.verdict == verdict } }
        let undecided = count(.undecided)
        return "\(count(.worse)) worse, \(count(.better)) better, \(count(.changed)) changed, \(count(.same)) the same"
            + (undecided > 0 ? ", \(undecided) undecided" : "")
    }

    /// What became of one run.
    public static func line(_ run: BatchComparison.RunChange) -> String {
        "\(word(run.kind)): \(run.name): \(run.before) before, \(run.now) now"
    }

    private static func word(_ kind: BatchComparison.RunChange.Kind) -> String {
        switch kind {
        case .fails: "fails now"
        case .flaky: "flaky now"
        case .skipped: "skipped now"
        case .missing: "missing now"
        case .otherwise: "fails otherwise"
        case .mended: "passes now"
        case .new: "new"
        }
    }

    /// All that became of two batches' runs and measurements, in a line.
    public static func summary(_ comparison: BatchComparison) -> String {
        let runs = BatchComparison.RunChange.Kind.allCases.compactMap { kind in
            let count = comparison.runs.count { $0.kind == kind }
            return count > 0 ? "\(count) \(word(kind))" : nil
        }
        let gone = comparison.unmeasured.count
        return "runs: \(runs.isEmpty ? "none ended otherwise" : runs.joined(separator: ", ")); measurements: "
            + summary(comparison.changes) + (gone > 0 ? ", \(gone) no longer measured" : "")
    }
}
