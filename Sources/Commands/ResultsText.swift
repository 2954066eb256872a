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
            lines += (one.kernel?.shown ?? []).map { "        \($0)" }
            lines += one.log.flatMap { PrintableText.lines($0) }.map { "        | \($0)" }
            lines += one.metrics.map { "        \($0.label) = \(number($0.value)) \($0.unit)" }
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

    /// A number with three digits behind the point, and k, M, G or T.
    public static func number(_ value: Double) -> String {
        let scales: [(Double, String)] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")]
        let scale = scales.first { abs(value) >= $0.0 } ?? (1, "")
        let digits = (value / scale.0 * 1000).rounded() / 1000
        return "\(digits)\(scale.1)"
    }

    /// A share as a signed percentage.
    public static func percent(_ share: Double) -> String {
        let value = (share * 1000).rounded() / 10
        return (value > 0 ? "+" : "") + "\(value) %"
    }

    /// What became of one measurement.
    public static func line(_ change: Change) -> String {
        let comparison = change.comparison
        let range = "\(percent(comparison.interval.lowerBound)) to \(percent(comparison.interval.upperBound))"
        let probability =
            comparison.probability < 0.001 ? "p < 0.001" : "p = \((comparison.probability * 1000).rounded() / 1000)"
        return "\(change.verdict.rawValue): \(change.name): \(number(comparison.medians.0)) -> "
            + "\(number(comparison.medians.1)) \(change.unit), \(percent(comparison.effect)) (\(range)), \(probability), "
            + "n = \(comparison.counts.0), \(comparison.counts.1)"
    }

    /// How many measurements became what.
    public static func summary(_ changes: [Change]) -> String {
        func count(_ verdict: Change.Verdict) -> Int { changes.count { $0.verdict == verdict } }
        var text =
            "\(count(.worse)) worse, \(count(.better)) better, \(count(.changed)) changed, \(count(.same)) the same"
        if count(.few) > 0 {
            text += ", \(count(.few)) with fewer than \(Comparison.fewest) values (--repeat gives more)"
        }
        return text
    }
}
