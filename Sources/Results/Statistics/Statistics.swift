import Glibc
public import Runner

/// The comparison of two samples of a measurement.
public struct Comparison: Sendable {
    /// Medians of the first and the second sample.
    public let medians: (Double, Double)
    /// Sizes of the samples.
    public let counts: (Int, Int)
    /// The test for whether chance explains the difference.
    public let test: MannWhitney
    /// The difference of the medians.
    public let effect: Effect

    /// A difference of medians, with bounds.
    public struct Effect: Sendable {
        /// Whether numbers are fractions of the first median. They are where no value is negative and no value of the
        /// first sample is 0; otherwise they are in the measurement's unit.
        public let isShare: Bool
        /// The difference of the medians; as a fraction at least -1.
        public let value: Double
        /// Bounds of the difference, by the same test at the level of the verdict: 0 is outside where the test finds a
        /// difference. nil where the samples are too small, or where they differ in more than a shift.
        public internal(set) var interval: ClosedRange<Double>?
    }

    /// Most values of each sample that are paired: the number of pairs is their product.
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

    /// Bounds of the change as fractions of the first median; nil without bounds, or where that median is 0 and they are
    /// not.
    var shares: ClosedRange<Double>? {
        guard let interval = effect.interval else { return nil }
        guard !effect.isShare, interval != 0...0 else { return interval }
        let median = abs(medians.0)
        return median > 0 ? (interval.lowerBound / median)...(interval.upperBound / median) : nil
    }

    /// About how many more values of each sample would make the bounds exclude either 0 or a change of `margin`; nil
    /// where that cannot be estimated. Bounds narrow with the root of the number of values.
    func more(within margin: Double) -> Int? {
        guard let shares else { return nil }
        let middle = (shares.lowerBound + shares.upperBound) / 2, half = (shares.upperBound - shares.lowerBound) / 2
        let wanted = max(margin - abs(middle), abs(middle))
        let count = Double(min(counts.0, counts.1))
        let more = (count * (half / wanted) * (half / wanted) - count).rounded(.up)
        return more.isFinite && more < 1e6 ? max(Int(more), 1) : nil
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

/// A measurement of two batches, and the verdict about its change.
public struct Change: Sendable {
    /// The verdict.
    public enum Verdict: String, Sendable {
        /// No change of more than ``Samples/margin`` is possible either way, be there a smaller one or not.
        case same
        /// It is better.
        case better
        /// It is worse.
        case worse
        /// It differs, and the script has not declared which direction is better.
        case changed
        /// No verdict is possible; ``Change/doubt`` has the reason.
        case undecided
        /// No script declared it (processor time), and other load of the machine changes it: it is shown, without a
        /// verdict.
        case notJudged = "not judged"
    }
    /// Why there is no verdict.
    public enum Doubt: Sendable, Equatable {
        /// Each sample needs at least this number of values before a difference can show.
        case needs(Int)
        /// No difference was found, but one of more than ``Samples/margin`` is possible. About so many more runs of each
        /// would decide; nil where that cannot be estimated.
        case wide(more: Int?)
        /// Most values of the second sample lie on one side of the first's, but its median lies on the other.
        case shapes
        /// A difference was found once, and not in a second measurement.
        case unconfirmed
        /// The units cannot be converted into one another.
        case units(before: [String], now: [String])
        /// The declared directions differ ("higher", "lower", or none).
        case directions(before: [String], now: [String])
    }
    /// The measurement.
    public let name: MeasurementName
    /// The unit of all numbers, except of the second sample's median where ``unitNow`` differs.
    public let unit: Unit
    /// See ``unit``.
    public let unitNow: Unit
    /// The comparison's numbers.
    public let comparison: Comparison
    /// The probability of such a difference by chance, corrected for the number of measurements compared at once, as the
    /// verdict is; uncorrected where there is no verdict.
    public let probability: Double
    /// The verdict, corrected for the number of measurements compared at once.
    public let verdict: Verdict
    /// Why it is undecided.
    public let doubt: Doubt?
    /// The most values of one run; above 1, their median counts.
    public let mostOfARun: Int

    /// Whether a report should show it. A measurement without a verdict is shown where chance hardly explains the
    /// change.
    public var isWorthALine: Bool {
        verdict == .notJudged ? comparison.test.probability <= Samples.level : verdict != .same
    }

    /// Whether it is a time or a rate. On a simulated bench that says how fast the model is, not a device.
    public var isSpeed: Bool {
        verdict != .notJudged && (unit.base == "ns" || unit.base == "Hz" || unit.base.hasSuffix("/s"))
    }

    /// Whether it is the same, but not equal: chance does not explain the small change.
    public var isSmall: Bool { verdict == .same && comparison.effect.interval?.contains(0) == false }

    /// The same change, where a second measurement did not confirm it.
    public var unconfirmed: Change {
        Change(
            name: name, unit: unit, unitNow: unitNow, comparison: comparison, probability: probability,
            verdict: .undecided, doubt: .unconfirmed, mostOfARun: mostOfARun)
    }

    /// Whether it has a verdict, or lacks one only for want of values.
    public var isJudged: Bool {
        switch doubt {
        case .units, .directions: false
        default: verdict != .notJudged
        }
    }
}
