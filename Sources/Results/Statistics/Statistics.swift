import Glibc

/// The comparison of two samples of a measurement.
public struct Comparison: Sendable {
    /// Medians of the first and the second sample.
    public let medians: (Double, Double)
    /// How many were in each.
    public let counts: (Int, Int)
    /// The test of whether chance explains the difference.
    public let test: MannWhitney
    /// By how much the second's median differs from the first's.
    public let effect: Effect

    /// A difference of medians, and between which bounds it lies.
    public struct Effect: Sendable {
        /// Whether numbers are shares of the first median. Only what is never negative, and in the first sample never 0, has
        /// such; of the rest they are in the measurement's unit.
        public let isShare: Bool
        /// The medians' difference; of shares -1 at least.
        public let value: Double
        /// Where it lies, by the same test at the level that the verdict was found at: 0 is outside where the test says that
        /// the samples differ. nil where there are too few values for any bound, or where the samples differ in more than
        /// size, so that no shift makes one of the other.
        public internal(set) var interval: ClosedRange<Double>?
    }

    /// The most values of each sample that are paired, as the number of pairs is their product.
    private static let most = 1000

    /// Compares; nil where a sample is empty.
    public init?(_ first: [Double], _ second: [Double], level: Double = Samples.level) {
        guard let test = Comparison.test(first, second) else { return nil }
        self.init(
            first, second, test, outside: MannWhitney.outside(test.counts.0, test.counts.1, level: level),
            differs: test.probability <= level)
    }

    static func test(_ first: [Double], _ second: [Double]) -> MannWhitney? {
        MannWhitney(thinned(first), thinned(second))
    }

    /// `outside`: see ``MannWhitney/outside(_:_:level:)``.
    init(_ first: [Double], _ second: [Double], _ test: MannWhitney, outside: Int?, differs: Bool) {
        self.test = test
        counts = (first.count, second.count)
        medians = (Comparison.median(first.sorted()), Comparison.median(second.sorted()))
        let isShare = first.allSatisfy { $0 > 0 } && second.allSatisfy { $0 >= 0 }
        func difference(_ one: Double, _ other: Double) -> Double { isShare ? other / one - 1 : other - one }
        let value = difference(medians.0, medians.1)
        let (one, other) = (Comparison.thinned(first), Comparison.thinned(second))
        var interval: ClosedRange<Double>?
        if let outside {
            var pairs: [Double] = []
            pairs.reserveCapacity(one.count * other.count)
            for value in one { for later in other { pairs.append(difference(value, later)) } }
            pairs.sort()
            let bounds = pairs[outside]...pairs[pairs.count - 1 - outside]
            if bounds.contains(value), bounds.contains(0) != differs { interval = bounds }
        }
        effect = Effect(isShare: isShare, value: value, interval: interval)
    }

    private static func thinned(_ values: [Double]) -> [Double] {
        guard values.count > most else { return values }
        return (0..<most).map { values[$0 * values.count / most] }
    }

    static func median(_ sorted: [Double]) -> Double {
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : sorted[middle - 1] / 2 + sorted[middle] / 2
    }
}

/// A measurement of two batches, and the verdict on its change.
public struct Change: Sendable {
    /// The verdict.
    public enum Verdict: String, Sendable {
        /// No difference beyond chance.
        case same
        /// It is better.
        case better
        /// It is worse.
        case worse
        /// It differs, and the script has not said which direction is better.
        case changed
        /// It cannot be said; ``Change/doubt`` tells why.
        case undecided
        /// No script declared it, and other load of the machine changes it: it is shown and decides nothing.
        case notJudged = "not judged"
    }
    /// Why there is no verdict.
    public enum Doubt: Sendable, Equatable {
        /// So many values of each sample are needed at least for any difference to show.
        case needs(Int)
        /// The values differ, but most of the second lie on one side of the first's and their median on the other.
        case shapes
        /// A difference was found once, and not in a second measurement.
        case unconfirmed
        /// Numbers of the one unit are none of the other.
        case units(before: [String], now: [String])
        /// It was said otherwise which way is better ("higher", "lower", or nothing).
        case directions(before: [String], now: [String])
    }
    /// What was measured, and where.
    public let name: MeasurementName
    /// The unit of all numbers, except of the second sample's median where ``unitNow`` differs.
    public let unit: Unit
    /// See ``unit``.
    public let unitNow: Unit
    /// The numbers.
    public let comparison: Comparison
    /// The verdict, with regard to how many measurements were compared at once.
    public let verdict: Verdict
    /// Why it is undecided.
    public let doubt: Doubt?
    /// The most values that a run had; above 1 their median counts.
    public let mostOfARun: Int

    /// Whether a report should show it. A measurement without a verdict is shown where chance would hardly explain
    /// it.
    public var isWorthALine: Bool {
        verdict == .notJudged ? comparison.test.probability <= Samples.level : verdict != .same
    }

    /// The same, found once but not a second time.
    public var unconfirmed: Change {
        Change(
            name: name, unit: unit, unitNow: unitNow, comparison: comparison, verdict: .undecided, doubt: .unconfirmed,
            mostOfARun: mostOfARun)
    }
}
