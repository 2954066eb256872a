import Bindings
import Kernel
public import Results
import Runner

/// Lines of text about results.
public enum ResultsText {
    /// All data of a run, indented.
    public static func details(_ record: RunRecord) -> [String] {
        var lines: [String] = []
        for (name, value) in record.settings.sorted(by: { $0.key < $1.key }) { lines.append("  set \(name)=\(value)") }
        for one in record.result?.cases ?? [] {
            lines.append("  \(one.verdict.word)  \(one.name)" + (one.message.map { ": \($0)" } ?? ""))
            if let reason = one.expected_failure { lines.append("        expected to fail: \(reason)") }
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
        if let path = record.record { lines.append("  record: \(path)") }
        lines += record.trace.map { "  trace: \($0)" }
        let errors = PrintableText.lines(record.errors ?? "").filter { !$0.isEmpty }
        lines += errors.map { "  errors: \($0)" }
        return lines.map { PrintableText.line($0) }
    }

    /// A number with its unit, in readable form: "1.07 ms", "12.5 GB/s", "4096 B", "3.2 M".
    public static func amount(_ value: Double, _ unit: String) -> String { Unit(unit).amount(value) }

    /// How one measurement changed. `simulated`: on a simulated bench.
    public static func line(_ change: Change, simulated: Bool) -> String {
        let comparison = change.comparison
        let effect = comparison.effect
        let start = "\(change.verdict.rawValue): \(change.name.text): "
        let counts = "n = \(comparison.counts.0), \(comparison.counts.1)"
        let end =
            (change.mostOfARun > 1 ? "; each run's value is the median of up to \(change.mostOfARun)" : "")
            + (change.doubt.map { "; \(reason($0))" } ?? "")
            + (change.isSmall ? "; it differs, by less than \(margin)" : "")
            + (simulated && change.isSpeed ? " (simulated: the model's speed)" : "")
        guard change.unit.base == change.unitNow.base else {
            let (one, other) = comparison.medians
            return start + "\(change.unit.amount(one)) -> \(change.unitNow.amount(other)), \(counts)" + end
        }
        func text(_ value: Double) -> String { change.unit.difference(value, isShare: effect.isShare) }
        let range = effect.interval.map { "\(text($0.lowerBound)) to \(text($0.upperBound))" } ?? "no bounds"
        let found = change.probability
        let probability = found < 0.001 ? "p < 0.001" : "p = \((found * 1000).rounded() / 1000)"
        let medians = change.unit.amounts(comparison.medians.0, comparison.medians.1, isShare: effect.isShare)
        return start + "\(medians.0) -> \(medians.1), \(text(effect.value)) (\(range)), \(probability), \(counts)" + end
    }

    /// The verdict of a comparison that ends with this exit code.
    public static func verdict(_ status: ExitStatus) -> String {
        status == .pass ? "not worse" : status == .fail ? "worse" : "undecided"
    }

    /// Why a change is undecided.
    public static func reason(_ doubt: Change.Doubt) -> String {
        switch doubt {
        case .needs(let count): "needs at least \(count) runs of each to show anything"
        case .wide(let more):
            "not decidable: a change of more than \(margin) is possible"
                + (more.map { "; about \($0) more runs of each would tell" } ?? "")
        case .shapes: "most values moved one way and their median the other"
        case .unconfirmed: "worse at first and not again; more runs would tell"
        case .units(let before, let now): "not comparable: its unit was \(words(before)), and is \(words(now))"
        case .directions(let before, let now): "not comparable: better was \(words(before)), and is \(words(now))"
        }
    }

    private static func words(_ names: [String]) -> String {
        names.map { $0.isEmpty ? "not said" : $0 }.joined(separator: " or ")
    }

    private static let margin = "\(Int(Samples.margin * 100)) %"

    /// What the verdicts on these changes mean: levels, correction, margin, whose speed the times are. Empty where
    /// nothing is judged. `inTurn`: whether the runs of both sides alternated.
    public static func notes(_ changes: [Change], inTurn: Bool, simulated: Bool) -> [String] {
        let count = changes.count(where: \.isJudged)
        guard count > 0 else { return [] }
        let level = "\(Int(Samples.level * 100)) %", confidence = "\(Int(100 - Samples.level * 100)) %"
        let correction =
            count > 1
            ? "p: corrected (Holm, Tarone) for \(count) measurements at once, save what is not judged"
            : "p: of one measurement, not corrected"
        var lines = [
            "\(correction); level of significance: \(level) for all verdicts together",
            "in brackets: the interval of the change, of \(confidence) confidence or more; same: it lies within \(margin) either way",
        ]
        if !inTurn {
            lines.append(
                "the batches did not run in turn: what else changed between them (load, temperature) counts as a change; "
                    + "peerlab ab runs both in turn")
        }
        if simulated, changes.contains(where: \.isSpeed) {
            lines.append(
                "simulated: times and rates are the model's, no hardware's: of traffic by this machine's clock, of "
                    + "sys.now by the virtual clock")
        }
        return lines
    }

    /// Counts of measurements by verdict.
    public static func summary(_ changes: [Change]) -> String {
        func count(_ verdict: Change.Verdict) -> Int { changes.count { $0.verdict == verdict } }
        let undecided = count(.undecided)
        return "\(count(.worse)) worse, \(count(.better)) better, \(count(.changed)) changed, \(count(.same)) the same"
            + (undecided > 0 ? ", \(undecided) undecided" : "")
    }

    /// How one run changed.
    public static func line(_ run: BatchComparison.RunChange) -> String {
        "\(word(run.kind)): \(run.name): \(run.before) before, \(run.now) now"
    }

    private static func word(_ kind: BatchComparison.RunChange.Kind) -> String {
        switch kind {
        case .fails: "fails now"
        case .failsNotRunBefore: "fails, was not run before"
        case .flaky: "flaky now"
        case .skipped: "skipped now"
        case .missing: "missing now"
        case .notRun: "not run now"
        case .otherwise: "fails otherwise"
        case .known: "fails now, as expected"
        case .mended: "passes now"
        case .new: "new"
        }
    }

    /// How all runs and measurements of two batches changed, in one line.
    public static func summary(_ comparison: BatchComparison) -> String {
        func counts(ofCases isOfCase: Bool) -> String {
            let words = BatchComparison.RunChange.Kind.allCases.compactMap { kind in
                let count = comparison.runs.count { $0.kind == kind && $0.isOfCase == isOfCase }
                return count > 0 ? "\(count) \(word(kind))" : nil
            }
            return words.isEmpty ? "none ended otherwise" : words.joined(separator: ", ")
        }
        let gone = comparison.unmeasured.count
        return "runs: \(counts(ofCases: false)); cases: \(counts(ofCases: true)); measurements: "
            + summary(comparison.changes) + (gone > 0 ? ", \(gone) no longer measured" : "")
    }
}
