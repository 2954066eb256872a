import Bindings
import Runner

/// What two batches measured, by name.
public struct Samples: Sendable {
    /// How likely it may be that any of the verdicts of one comparison is wrong, where nothing has changed.
    public static let level = 0.01

    private struct Sample {
        let unit: String
        let better: String
        let isDeclared: Bool
        var values: [Double] = []
    }
    private var samples: [String: Sample] = [:]

    /// What the width of an interval depends on.
    private struct Size: Hashable {
        let counts: [Int]
        let level: Double
    }

    /// None.
    public init() {}

    /// What was measured, by names that scenarios gave.
    public var declared: Set<String> { Set(samples.filter(\.value.isDeclared).keys) }
    /// How many measurements there are.
    public var count: Int { samples.count }

    /// Adds what a run measured, and how long it took. Only runs that passed measured anything.
    public mutating func add(_ record: Record) { add(record.group, record) }

    /// The same under a name of the caller's; empty where all are of one scenario.
    public mutating func add(_ name: String, _ record: Record) {
        guard record.outcome == .pass else { return }
        let start = name.isEmpty ? "" : name + " > "
        for one in record.result?.cases ?? [] {
            for metric in one.metrics {
                let sample = Sample(unit: metric.unit, better: metric.better, isDeclared: true)
                add("\(start)\(one.name) > \(metric.label)", sample, metric.value)
            }
        }
        add(
            "\(start)processor time", Sample(unit: "ns", better: "lower", isDeclared: false), Double(record.cpu_ns))
    }

    private mutating func add(_ name: String, _ sample: Sample, _ value: Double) {
        samples[name, default: sample].values.append(value)
    }

    /// The part of both that has these names.
    public func only(_ names: Set<String>) -> Samples {
        var result = self
        result.samples = samples.filter { names.contains($0.key) }
        return result
    }

    /// What both have, sorted by name. Of many measurements some differ by chance, so the more there are that could, the less
    /// likely a difference must be to count: all verdicts together are wrong in `level` of all comparisons at most. The method
    /// is Holm's, with Tarone's regard for measurements which have too few values to show anything: those count as none.
    public static func compare(_ before: Samples, _ after: Samples, level: Double = Samples.level) -> [Change] {
        var found: [(name: String, one: Sample, other: Sample, test: MannWhitney)] = []
        for (name, one) in before.samples.sorted(by: { NaturalOrder.precedes($0.key, $1.key) }) {
            guard let other = after.samples[name], let test = Comparison.test(one.values, other.values) else {
                continue
            }
            found.append((name, one, other, test))
        }
        let levels = Samples.levels(found.map(\.test), level)
        let needed = MannWhitney.fewest(level: level / Double(max(found.count, 1)))
        // Most measurements have as many values as the others.
        var known: [Size: Int?] = [:]
        return zip(found, levels).map { item, level in
            let size = Size(counts: [item.test.counts.0, item.test.counts.1], level: level.value)
            let outside = known[size] ?? MannWhitney.outside(size.counts[0], size.counts[1], level: level.value)
            known[size] = outside
            let comparison = Comparison(
                item.one.values, item.other.values, item.test, outside: outside, differs: level.differs)
            let (verdict, doubt) = verdict(comparison, item.one.better, level, needed)
            return Change(
                name: item.name, unit: item.one.unit, isDeclared: item.one.isDeclared, comparison: comparison,
                verdict: verdict, doubt: doubt)
        }
    }

    /// For each test the level at which it was decided, and whether it found a difference.
    private static func levels(_ tests: [MannWhitney], _ level: Double) -> [(value: Double, differs: Bool)] {
        var result = [(value: Double, differs: Bool)](repeating: (level, false), count: tests.count)
        var rest = tests.indices.sorted { tests[$0].probability < tests[$1].probability }[...]
        var current = level
        while let index = rest.first {
            // The fewest that have to share the level, if only those that could be as unlikely as their share count.
            var sharing = 1
            while rest.count(where: { tests[$0].least <= level / Double(sharing) }) > sharing { sharing += 1 }
            current = level / Double(sharing)
            guard tests[index].probability <= current else { break }
            result[index] = (current, true)
            rest = rest.dropFirst()
        }
        for index in rest { result[index] = (current, false) }
        return result
    }

    private static func verdict(
        _ comparison: Comparison, _ better: String, _ level: (value: Double, differs: Bool), _ needed: Int
    ) -> (Change.Verdict, Change.Doubt?) {
        guard level.differs else {
            let (n, m) = comparison.counts
            return MannWhitney.least(n, m) > level.value * (1 + 1e-9) ? (.undecided, .needs(needed)) : (.same, nil)
        }
        guard !better.isEmpty else { return (.changed, nil) }
        let isMore = comparison.test.balance > 0
        guard comparison.effect.value == 0 || (comparison.effect.value > 0) == isMore else {
            return (.undecided, .shapes)
        }
        return (isMore == (better == "higher") ? .better : .worse, nil)
    }
}

extension Record {
    /// Its ``id`` without the number among repetitions: what runs of other batches are compared with.
    public var group: String {
        guard id.hasPrefix(file), let mark = id.dropFirst(file.count).lastIndex(of: "#") else { return id }
        let number = id[id.index(after: mark)...]
        return !number.isEmpty && number.allSatisfy(\.isNumber) ? String(id[..<mark]) : id
    }
}
