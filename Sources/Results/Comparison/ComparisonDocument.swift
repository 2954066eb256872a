import Runner

/// A comparison as JSON, and for the page.
public struct ComparisonDocument: Encodable, Sendable {
    /// One of the two sides.
    public struct Side: Encodable, Sendable {
        /// Its name: a file, a label, a batch's number.
        public let name: String
        /// When it began, ISO 8601.
        public let started: String
        /// The bench.
        public let bench: String

        /// From its parts.
        public init(name: String, started: String, bench: String) {
            self.name = name
            self.started = started
            self.bench = bench
        }
    }

    private struct Run: Encodable {
        let name: String
        let kind: String
        let is_worse: Bool
        let before: String
        let now: String
    }

    private struct Measurement: Encodable {
        let name: String
        let unit: String
        let unit_now: String
        /// Like `change`, `low` and `high` left out where it is beyond the numbers that JSON has.
        let median: Double?
        let median_now: Double?
        let runs: Int
        let runs_now: Int
        /// Whether `change`, `low` and `high` are fractions of the first median; otherwise they are in `unit`.
        let is_share: Bool
        let change: Double?
        let low: Double?
        let high: Double?
        /// Corrected for the number of measurements compared at once.
        let p: Double
        let p_uncorrected: Double
        let verdict: String
        /// Whether it is a time or a rate, which on a simulated bench is the model's.
        let is_speed: Bool
        let doubt: String?
    }

    /// How the verdicts were found.
    private struct Method: Encodable {
        /// Of all verdicts together.
        let level = Samples.level
        /// Of each interval, at least.
        let confidence = 1 - Samples.level
        /// As a fraction: an interval within it either way is "same".
        let margin = Samples.margin
        let correction = "Holm, Tarone"
        /// How many measurements were corrected for.
        let judged: Int
    }

    private let tool = "peerlab compare"
    private let before: Side
    private let after: Side
    private let simulated: Bool
    private let verdict: String
    private let method: Method
    /// What the verdicts mean, in words.
    private let notes: [String]
    private let differences: [String]
    private let runs: [Run]
    private let measurements: [Measurement]
    private let no_longer_measured: [String]
    private let measured_anew: [String]
    /// Measured again, where the first result was worse.
    private let again: [Measurement]

    /// `changes`: the comparison's, with doubts that a second measurement brought; `again`: that measurement's.
    /// `notes`: what the verdicts mean. `reason`: the text of a doubt.
    public init(
        _ comparison: BatchComparison, changes: [Change], again: [Change] = [], before: Side, after: Side,
        simulated: Bool, verdict: String, notes: [String], reason: (Change.Doubt) -> String
    ) {
        self.before = before
        self.after = after
        self.simulated = simulated
        self.verdict = verdict
        self.notes = notes
        method = Method(judged: changes.count(where: \.isJudged))
        differences = comparison.differences
        runs = comparison.runs.map {
            Run(name: $0.name, kind: "\($0.kind)", is_worse: $0.kind.isWorse, before: $0.before, now: $0.now)
        }
        measurements = changes.map { ComparisonDocument.measurement($0, reason) }
        no_longer_measured = comparison.unmeasured.map(\.text)
        measured_anew = comparison.measuredAnew.map(\.text)
        self.again = again.map { ComparisonDocument.measurement($0, reason) }
    }

    private static func measurement(_ change: Change, _ reason: (Change.Doubt) -> String) -> Measurement {
        let (comparison, effect) = (change.comparison, change.comparison.effect)
        // JSON has no infinities, and 0 would be no change: such a number is left out.
        func finite(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? $0 : nil } }
        return Measurement(
            name: change.name.text, unit: change.unit.text, unit_now: change.unitNow.text,
            median: finite(comparison.medians.0), median_now: finite(comparison.medians.1), runs: comparison.counts.0,
            runs_now: comparison.counts.1, is_share: effect.isShare, change: finite(effect.value),
            low: finite(effect.interval?.lowerBound), high: finite(effect.interval?.upperBound),
            p: change.probability, p_uncorrected: comparison.test.probability, verdict: change.verdict.rawValue,
            is_speed: change.isSpeed, doubt: change.doubt.map(reason))
    }

    /// The document.
    public var bytes: [UInt8] { ((try? RunRecord.encoder.encode(self)) ?? []) + [0x0a] }

    // MARK: CSV

    private static let columns = [
        "measurement", "verdict", "before", "unit", "now", "unit_now", "change", "change_is", "low", "high", "p",
        "p_uncorrected", "runs", "runs_now", "round", "doubt",
    ]

    /// The measurements as comma-separated values, a line each: those that both sides have, those measured again, and
    /// those that one side lacks.
    public var csv: [UInt8] {
        var text = CSV.line(ComparisonDocument.columns)
        for one in measurements { text += CSV.line(ComparisonDocument.cells(one, round: "1")) }
        for one in again { text += CSV.line(ComparisonDocument.cells(one, round: "2")) }
        let empty = [String](repeating: "", count: ComparisonDocument.columns.count - 2)
        for name in no_longer_measured { text += CSV.line([CSV.quoted(name), "no longer measured"] + empty) }
        for name in measured_anew { text += CSV.line([CSV.quoted(name), "measured anew"] + empty) }
        return Array(text.utf8)
    }

    private static func cells(_ one: Measurement, round: String) -> [String] {
        func number(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
        return [
            CSV.quoted(one.name), CSV.quoted(one.verdict), number(one.median), CSV.quoted(one.unit),
            number(one.median_now), CSV.quoted(one.unit_now), number(one.change), one.is_share ? "fraction" : "unit",
            number(one.low), number(one.high), number(one.p), number(one.p_uncorrected), "\(one.runs)",
            "\(one.runs_now)", round, CSV.quoted(one.doubt ?? ""),
        ]
    }
}
