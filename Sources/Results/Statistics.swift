import Bindings
import Glibc
import Runner

/// Two samples of a measurement, compared without supposing how it is distributed.
public struct Comparison: Sendable {
    /// Medians of the first and the second sample.
    public let medians: (Double, Double)
    /// How many were in each.
    public let counts: (Int, Int)
    /// How far the second lies above the first, as a share of the first's median (Hodges-Lehmann).
    public let effect: Double
    /// Where the effect lies with 99 %, as shares.
    public let interval: ClosedRange<Double>
    /// How likely so different samples of one and the same thing are (Mann-Whitney U, two-sided, normal approximation with
    /// correction for ties).
    public let probability: Double

    /// The fewest values of each sample that allow a verdict.
    public static let fewest = 5
    /// At most so many of each are looked at: pairs are many.
    private static let most = 1000

    /// Compares; nil where a sample is empty.
    public init?(_ first: [Double], _ second: [Double]) {
        let one = Comparison.thinned(first), other = Comparison.thinned(second)
        guard !one.isEmpty, !other.isEmpty else { return nil }
        counts = (first.count, second.count)
        medians = (Comparison.median(first.sorted()), Comparison.median(second.sorted()))
        probability = Comparison.probability(one, other)
        var differences: [Double] = []
        differences.reserveCapacity(one.count * other.count)
        for value in one { for later in other { differences.append(later - value) } }
        differences.sort()
        let base = medians.0 == 0 ? 1 : abs(medians.0)
        effect = Comparison.median(differences) / base
        let (n, m) = (Double(one.count), Double(other.count))
        let reach = 2.5758 * (n * m * (n + m + 1) / 12).squareRoot()
        let low = min(max(Int((n * m / 2 - reach).rounded(.down)), 0), differences.count - 1)
        interval = (differences[low] / base)...(differences[differences.count - 1 - low] / base)
    }

    private static func thinned(_ values: [Double]) -> [Double] {
        guard values.count > most else { return values }
        return (0..<most).map { values[$0 * values.count / most] }
    }

    static func median(_ sorted: [Double]) -> Double {
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : sorted[middle - 1] / 2 + sorted[middle] / 2
    }

    private static func probability(_ first: [Double], _ second: [Double]) -> Double {
        let all = (first.map { ($0, true) } + second.map { ($0, false) }).sorted { $0.0 < $1.0 }
        let (n, m) = (Double(first.count), Double(second.count))
        var ranks = 0.0, ties = 0.0
        var index = 0
        while index < all.count {
            var end = index
            while end < all.count, all[end].0 == all[index].0 { end += 1 }
            // Those that are equal share the mean of their ranks, which count from 1.
            let rank = Double(index + 1 + end) / 2
            ranks += rank * Double(all[index..<end].count { $0.1 })
            let equal = Double(end - index)
            ties += equal * equal * equal - equal
            index = end
        }
        let u = ranks - n * (n + 1) / 2
        let total = n + m
        let variance = n * m / 12 * (total + 1 - ties / (total * max(total - 1, 1)))
        guard variance > 0 else { return 1 }
        let z = max(abs(u - n * m / 2) - 0.5, 0) / variance.squareRoot()
        return erfc(z / 2.0.squareRoot())
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
        /// There are too few values to say.
        case few
    }
    /// The run, without its number among repetitions; the case; the measurement.
    public let name: String
    /// "B/s", "ns"
    public let unit: String
    /// The numbers.
    public let comparison: Comparison
    /// The verdict, with regard to how many measurements were compared at once.
    public internal(set) var verdict: Verdict
    fileprivate let better: String
}

/// What two batches measured, by name.
public struct Samples: Sendable {
    private var values: [String: (unit: String, better: String, list: [Double])] = [:]

    /// None.
    public init() {}

    /// What was measured.
    public var names: Set<String> { Set(values.keys) }

    /// Adds what a run measured, and how long it took. Only runs that passed measured anything.
    public mutating func add(_ record: Record) {
        guard record.outcome == .pass else { return }
        let id = record.id.lastIndex(of: "#").map { String(record.id[..<$0]) } ?? record.id
        add(id, record)
    }

    /// The same under a name of the caller's; empty where all are of one scenario.
    public mutating func add(_ name: String, _ record: Record) {
        guard record.outcome == .pass else { return }
        let start = name.isEmpty ? "" : name + " > "
        for one in record.result?.cases ?? [] {
            for metric in one.metrics {
                add("\(start)\(one.name) > \(metric.label)", metric.unit, metric.better, metric.value)
            }
        }
        add("\(start)processor time", "ns", "lower", Double(record.cpu_ns))
    }

    private mutating func add(_ name: String, _ unit: String, _ better: String, _ value: Double) {
        values[name, default: (unit, better, [])].list.append(value)
    }

    /// What both have, sorted by name. Of many measurements some differ by chance, so the more there are, the less likely a
    /// difference must be to count (Holm's method): all verdicts together are wrong in `level` of all cases at most.
    public static func compare(_ before: Samples, _ after: Samples, level: Double = 0.01) -> [Change] {
        var changes: [Change] = []
        for (name, one) in before.values.sorted(by: { NaturalOrder.precedes($0.key, $1.key) }) {
            guard let other = after.values[name], let comparison = Comparison(one.list, other.list) else { continue }
            let isFew = min(one.list.count, other.list.count) < Comparison.fewest
            changes.append(
                Change(
                    name: name, unit: one.unit, comparison: comparison, verdict: isFew ? .few : .same,
                    better: one.better))
        }
        let order = changes.indices.filter { changes[$0].verdict == .same }
            .sorted { changes[$0].comparison.probability < changes[$1].comparison.probability }
        for (place, index) in order.enumerated() {
            let comparison = changes[index].comparison
            guard comparison.probability <= level / Double(order.count - place) else { break }
            let isMore = comparison.effect > 0
            switch changes[index].better {
            case "higher": changes[index].verdict = isMore ? .better : .worse
            case "lower": changes[index].verdict = isMore ? .worse : .better
            default: changes[index].verdict = .changed
            }
        }
        return changes
    }
}
