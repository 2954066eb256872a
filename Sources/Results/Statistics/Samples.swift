import Bindings
import Runner

/// What two batches measured, by name.
public struct Samples: Sendable {
    /// The accepted probability that any verdict of a comparison is wrong although nothing has changed.
    public static let level = 0.01

    /// What runs measured, each with one value.
    private struct Sample {
        let isDeclared: Bool
        /// The units and directions that were given. There is one of each unless a script changes them.
        var units: [Unit] = []
        var directions: [String] = []
        var values: [(value: Double, unit: Unit)] = []
        /// The most values that one run had, of which its median counts.
        var mostOfARun = 1

        init(isDeclared: Bool) { self.isDeclared = isDeclared }

        mutating func add(_ value: Double, _ unit: Unit, _ better: String) {
            if !units.contains(unit) { units.append(unit) }
            if !directions.contains(better) { directions.append(better) }
            values.append((value, unit))
        }

        /// All in `unit`, exactly as they are where all have it.
        func values(in unit: Unit, isExact: Bool) -> [Double] {
            isExact ? values.map(\.value) : values.map { unit.converted($0.value, from: $0.unit) }
        }
    }
    private var samples: [MeasurementName: Sample] = [:]

    /// Sample sizes and level, on which the bounds of an interval depend.
    private struct Size: Hashable {
        let counts: [Int]
        let level: Double
    }

    /// None.
    public init() {}

    /// What was measured, by names that scenarios gave.
    public var declared: Set<MeasurementName> { Set(samples.filter(\.value.isDeclared).keys) }

    /// Adds what a run measured, and how long it took. Only runs that passed measured anything. Several values of one name
    /// in one run are one value, their median: they hang together, and are no sample of what other runs would measure.
    public mutating func add(_ record: RunRecord) {
        guard record.outcome == .pass else { return }
        let run = record.group
        var found: [MeasurementName: [(value: Double, unit: Unit, better: String)]] = [:]
        for one in record.result?.cases ?? [] {
            for metric in one.metrics {
                let name = MeasurementName(run: run, case: one.name, metric)
                found[name, default: []].append((metric.value, Unit(metric.unit), metric.better))
            }
        }
        for (name, values) in found {
            // Kept even where units cannot be converted into one another.
            let kinds = Dictionary(grouping: values) { $0.unit.base + " " + $0.better }
            for (_, kind) in kinds.sorted(by: { $0.key < $1.key }) {
                let unit = kind[0].unit
                let isExact = kind.allSatisfy { $0.unit == unit }
                let numbers = kind.map { isExact ? $0.value : unit.converted($0.value, from: $0.unit) }
                add(name, Comparison.median(numbers.sorted()), unit, kind[0].better, of: values.count)
            }
        }
        add(.processorTime(of: run), Double(record.cpu_ns), Unit("ns"), "lower", of: 1)
    }

    private mutating func add(
        _ name: MeasurementName, _ value: Double, _ unit: Unit, _ better: String, of count: Int
    ) {
        var sample = samples[name] ?? Sample(isDeclared: name.one != nil)
        sample.add(value, unit, better)
        sample.mostOfARun = max(sample.mostOfARun, count)
        samples[name] = sample
    }

    /// The part of both that has these names.
    public func only(_ names: Set<MeasurementName>) -> Samples {
        var result = self
        result.samples = samples.filter { names.contains($0.key) }
        return result
    }

    /// Two samples of one measurement.
    private struct Pair {
        let name: MeasurementName
        let one: Sample
        let other: Sample
        let unit: Unit
        /// Why the two samples cannot be compared; nil where they can.
        var doubt: Change.Doubt?
        let values: ([Double], [Double])
        let test: MannWhitney

        init?(_ name: MeasurementName, _ one: Sample, _ other: Sample) {
            guard let unit = one.units.first else { return nil }
            let units = one.units + other.units
            // Numbers of units that cannot be converted are shown as they are, and not compared.
            let isExact = units.allSatisfy { $0 == unit } || !units.allSatisfy { $0.base == unit.base }
            values = (one.values(in: unit, isExact: isExact), other.values(in: unit, isExact: isExact))
            guard let test = Comparison.test(values.0, values.1) else { return nil }
            (self.name, self.one, self.other, self.unit, self.test) = (name, one, other, unit, test)
            if !units.allSatisfy({ $0.base == unit.base }) {
                doubt = .units(before: one.units.map(\.text), now: other.units.map(\.text))
            } else if Set(one.directions + other.directions).count > 1 {
                doubt = .directions(before: one.directions, now: other.directions)
            }
        }

        /// Whether it gets a verdict. A measurement that no script declared is only shown.
        var isJudged: Bool { one.isDeclared && doubt == nil }

        func change(_ comparison: Comparison, _ verdict: Change.Verdict, _ doubt: Change.Doubt?) -> Change {
            // Of another kind of unit, as it is shown.
            let now = self.doubt == nil ? unit : other.units.first ?? unit
            return Change(
                name: name, unit: unit, unitNow: now.base == unit.base ? unit : now, comparison: comparison,
                verdict: verdict, doubt: doubt, mostOfARun: max(one.mostOfARun, other.mostOfARun))
        }
    }

    /// What both have, sorted by name. Of many measurements some differ by chance, so the more there are that could, the less
    /// likely a difference must be to count: all verdicts together are wrong in `level` of all comparisons at most. The method
    /// is Holm's, with Tarone's regard for measurements which have too few values to show anything: those count as none.
    public static func compare(_ before: Samples, _ after: Samples, level: Double = Samples.level) -> [Change] {
        let pairs = before.samples.sorted { $0.key < $1.key }.compactMap { name, one in
            after.samples[name].flatMap { Pair(name, one, $0) }
        }
        let judged = pairs.filter(\.isJudged)
        let needed = MannWhitney.fewest(level: level / Double(max(judged.count, 1)))
        var levels = Samples.levels(judged.map(\.test), level)[...]
        // A cache, as most measurements have the same number of values.
        var known: [Size: Int?] = [:]
        return pairs.map { pair in
            let own = (value: level, differs: pair.test.probability <= level)
            let level = pair.isJudged ? levels.popFirst() ?? own : own
            let size = Size(counts: [pair.test.counts.0, pair.test.counts.1], level: level.value)
            let outside = known[size] ?? MannWhitney.outside(size.counts[0], size.counts[1], level: level.value)
            known[size] = outside
            let comparison = Comparison(
                pair.values.0, pair.values.1, pair.test, outside: outside, differs: level.differs)
            if let doubt = pair.doubt { return pair.change(comparison, .undecided, doubt) }
            guard pair.isJudged else { return pair.change(comparison, .notJudged, nil) }
            let (verdict, doubt) = verdict(comparison, pair.one.directions.first ?? "", level, needed)
            return pair.change(comparison, verdict, doubt)
        }
    }

    /// How many of both have to be decided at once.
    public static func judged(_ before: Samples, _ after: Samples) -> Int {
        before.samples.count { name, one in
            after.samples[name].flatMap { Pair(name, one, $0) }?.isJudged ?? false
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

extension RunRecord {
    /// Its ``id`` without the number among repetitions: what runs of other batches are compared with.
    public var group: String { RunRecord.group(of: id, in: file) }

    static func group(of id: String, in file: String) -> String {
        guard id.hasPrefix(file), let mark = id.dropFirst(file.count).lastIndex(of: "#") else { return id }
        let number = id[id.index(after: mark)...]
        return !number.isEmpty && number.allSatisfy(\.isNumber) ? String(id[..<mark]) : id
    }
}
