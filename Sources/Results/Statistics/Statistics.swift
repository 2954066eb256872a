import Glibc

/// Two samples of a measurement: what they are like, and by how much the second differs.
public struct Comparison: Sendable {
    /// Medians of the first and the second sample.
    public let medians: (Double, Double)
    /// How many were in each.
    public let counts: (Int, Int)
    /// Whether chance alone gives such samples.
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

    /// At most so many of each are looked at: pairs are many.
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

/// A measurement of two batches, and what is to be thought of its change.
public struct Change: Sendable {
    /// What is to be thought of it.
    public enum Verdict: String, Sendable {
        /// Nothing that could not be chance.
        case same
        /// It is better.
        case better
        /// It is worse.
        case worse
        /// It is otherwise, and nobody has said which way is better.
        case changed
        /// It cannot be said; ``Change/doubt`` tells why.
        case undecided
        /// Nobody asked for it, and what else the machine does changes it: it is shown, and decides nothing.
        case notJudged = "not judged"
    }
    /// Why nothing can be said.
    public enum Doubt: Sendable, Equatable {
        /// So many values of each sample are needed at least for any difference to show.
        case needs(Int)
        /// The values differ, but most of the second lie on one side of the first's and their median on the other.
        case shapes
        /// It was found once, and not found again.
        case unconfirmed
        /// Numbers of the one unit are none of the other.
        case units(before: [String], now: [String])
        /// It was said otherwise which way is better ("higher", "lower", or nothing).
        case directions(before: [String], now: [String])
    }
    /// What was measured, and where.
    public let name: MeasurementName
    /// Of the numbers, and of the second sample's median where that is of another kind.
    public let unit: Unit
    /// See ``unit``.
    public let unitNow: Unit
    /// The numbers.
    public let comparison: Comparison
    /// The verdict, with regard to how many measurements were compared at once.
    public let verdict: Verdict
    /// Why it is undecided.
    public let doubt: Doubt?
    /// Where more than 1, so many values some run had, of which its median counts.
    public let mostOfARun: Int

    /// Whether it is news; of what is not judged, where chance alone would hardly do it.
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
