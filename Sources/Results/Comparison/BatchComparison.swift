import Runner

/// Compares two batches, run by run, case by case and measurement by measurement. All repetitions of a run are one
/// sample.
public struct BatchComparison: Sendable {
    /// The change of a run, or of one of its cases.
    public struct RunChange: Sendable, Equatable {
        /// The kind of change.
        public enum Kind: Int, Sendable, CaseIterable, Comparable {
            /// It did not fail before, and fails now.
            case fails
            /// It was not run before, and fails now: nothing tells how it would have ended then.
            case failsNotRunBefore
            /// It passed before without a retry. Now it passes only when retried, or in some repetitions.
            case flaky
            /// It was run before, and is skipped now.
            case skipped
            /// It was run before, and now is absent or could not be run.
            case missing
            /// It was run before. This batch was not completed, and has not reached it.
            case notRun
            /// It failed before, and fails with another outcome now.
            case otherwise
            /// It fails now, as expected, and did not fail so before.
            case known
            /// It failed or was skipped before, and passes now.
            case mended
            /// It was absent before.
            case new

            /// Whether it was better before.
            public var isWorse: Bool { self < .notRun }

            /// The worst kind comes first.
            public static func < (one: Kind, other: Kind) -> Bool { one.rawValue < other.rawValue }
        }
        /// The run, without the repetition's number, and its case: "a.lua > one".
        public let name: String
        /// Whether it is about one case, and not about the whole run.
        public let isOfCase: Bool
        /// The kind of change.
        public let kind: Kind
        /// Its outcomes before: "3 pass".
        public let before: String
        /// Its outcomes now.
        public let now: String
    }

    /// Differences of the batches' conditions: "a.lua: option size: 64 before, 4096 now".
    public let differences: [String]
    /// Runs and cases whose outcome changed, by name; a run comes before its cases.
    public let runs: [RunChange]
    /// Measurements that both have, by name.
    public let changes: [Change]
    /// Declared measurements of the first batch that the second lacks.
    public let unmeasured: [MeasurementName]
    /// Declared measurements of the second batch that the first lacks.
    public let measuredAnew: [MeasurementName]
    /// Number of runs that both batches have: not runs of one name, but one and the same run.
    public let shared: Int
    /// Whether both batches consist of the same runs.
    public let isOfOneBatch: Bool

    /// Compares two batches.
    public init(_ before: some RecordSource, _ after: some RecordSource) {
        self.init(BatchFindings(before), BatchFindings(after))
    }

    /// Compares the findings of two batches.
    public init(_ one: BatchFindings, _ other: BatchFindings) {
        differences = BatchFindings.differences(one, other)
        runs = Set(one.groups.keys).union(other.groups.keys).sorted(by: NaturalOrder.precedes).flatMap { name in
            BatchComparison.changes(
                name, one.groups[name], other.groups[name], wasPlanned: one.mayNotHaveRun(name),
                isPlanned: other.mayNotHaveRun(name))
        }
        changes = Samples.compare(one.samples, other.samples)
        shared = one.runs.intersection(other.runs).count
        isOfOneBatch = shared > 0 && one.runs == other.runs
        // Measurements of runs and cases that were not run are not reported as missing.
        let notRun = Set(runs.filter { $0.kind == .notRun }.map(\.name))
        unmeasured = one.samples.declared.subtracting(other.samples.declared)
            .filter { name in
                !notRun.contains(NamePath.text([name.run]))
                    && !notRun.contains(NamePath.text([name.run, name.one ?? ""]))
            }.sorted()
        measuredAnew = other.samples.declared.subtracting(one.samples.declared).sorted()
    }

    /// Whether anything is worse than before, or has become unknown.
    public var isWorse: Bool {
        runs.contains { $0.kind.isWorse } || !unmeasured.isEmpty || changes.contains { $0.verdict == .worse }
    }

    /// Whether a verdict is missing.
    public var isUndecided: Bool {
        runs.contains { $0.kind == .notRun } || changes.contains { $0.verdict == .undecided }
    }

    private static func changes(
        _ name: String, _ before: BatchFindings.Group?, _ now: BatchFindings.Group?, wasPlanned: Bool, isPlanned: Bool
    ) -> [RunChange] {
        func change(_ names: [String], _ one: Tally?, _ other: Tally?, _ was: Bool, _ isTo: Bool) -> RunChange? {
            guard let kind = kind(one, other, wasPlanned: was, isPlanned: isTo) else { return nil }
            return RunChange(
                name: NamePath.text(names), isOfCase: names.count > 1, kind: kind, before: one?.text ?? "not run",
                now: other?.text ?? "not run")
        }
        let isPartial = before?.isPartial == true || now?.isPartial == true
        // Of other cases than before, the run's outcome says nothing. That it reached none is one.
        let isComparable =
            !isPartial || ![before, now].allSatisfy { $0.map { $0.hasCases && $0.tally.isKnown } ?? false }
        let whole = isComparable ? change([name], before?.tally, now?.tally, wasPlanned, isPlanned) : nil
        let alone = whole.map { [$0] } ?? []
        // A run without cases only has the run's own line.
        guard let before, let now, before.hasCases || now.hasCases, now.hasCases || !(whole?.kind.isWorse ?? false)
        else { return alone }
        let parts = (before.order + now.order.filter { before.parts[$0] == nil }).compactMap { part in
            change(
                [name, part.text], before.parts[part], now.parts[part], !before.tally.isKnown, !now.tally.isKnown)
        }
        let outside = NamePath.text([name, BatchFindings.Part.outside.text])
        return alone
            + parts.filter { part in
                part.kind != .notRun || (whole?.kind != .notRun && !(isPartial && part.name == outside))
            }
    }

    private static func kind(_ before: Tally?, _ now: Tally?, wasPlanned: Bool, isPlanned: Bool) -> RunChange.Kind? {
        guard let before, before.isKnown else {
            guard let now, now.isKnown else { return nil }
            return now.hasBad ? .failsNotRunBefore : before != nil || wasPlanned ? nil : .new
        }
        guard let now, now.isKnown else {
            return (now?.isLost ?? false) || !isPlanned && now == nil ? .missing : .notRun
        }
        guard before.known != now.known || before.isFlaky != now.isFlaky else { return nil }
        if now.hasBad, !before.hasBad { return .fails }
        if now.known.contains(.expectedFailure), !before.known.contains(.expectedFailure) { return .known }
        if now.isFlaky, !before.isFlaky { return .flaky }
        if now.hasBad { return .otherwise }
        if now.known.contains(.skip) {
            let isNew = !before.known.contains(.skip)
            // Skipped now in all repetitions, or in some where none was before.
            if now.known == [.skip] ? before.known != [.skip] : isNew && !before.hasBad { return .skipped }
        }
        return .mended
    }
}

/// Outcomes of the repetitions of a run, or of one of its cases.
struct Tally {
    var outcomes: [Outcome: Int] = [:]
    var retried = 0

    mutating func add(_ outcome: Outcome) { outcomes[outcome, default: 0] += 1 }

    /// Outcomes of repetitions that were run to their end. A pass is one, whatever was expected.
    var known: Set<Outcome> {
        Set(outcomes.keys.map { $0 == .unexpectedPass ? .pass : $0 }).subtracting([.interrupted, .notRun])
    }
    var isKnown: Bool { !known.isEmpty }
    /// Whether no repetition could be run.
    var isLost: Bool { Set(outcomes.keys) == [.notRun] }
    var hasBad: Bool { known.contains { !$0.isGood } }
    /// Whether it was retried, or its repetitions ended differently.
    var isFlaky: Bool { retried > 0 || (hasBad && known.contains(.pass)) }

    var text: String {
        guard !outcomes.isEmpty else { return "not run" }
        let words = outcomes.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.word)" }
        return words.joined(separator: ", ") + (retried > 0 ? ", of them \(retried) when tried again" : "")
    }
}
