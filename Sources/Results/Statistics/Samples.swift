import Bindings
import Runner

/// Measurements of a batch, by name.
public struct Samples: Sendable {
    /// The accepted probability that any verdict of a comparison is wrong where nothing has changed.
    public static let level = 0.01

    /// A change of less than this, as a fraction, counts as none: "same" means that a greater one is excluded.
    public static let margin = 0.05

    /// Values of one measurement, one for each run.
    private struct Sample {
        let isDeclared: Bool
        /// The units and directions ("higher", "lower") given. One of each, unless a script changes them.
        var units: [Unit] = []
        var directions: [String] = []
        var values: [(value: Double, unit: Unit)] = []
        /// The most values of one run; above 1, their median counts.
        var mostOfARun = 1

        init(isDeclared: Bool) { self.isDeclared = isDeclared }

        mutating func add(_ value: Double, _ unit: Unit, _ better: String) {
            if !units.contains(unit) { units.append(unit) }
            if !directions.contains(better) { directions.append(better) }
            values.append((value, unit))
        }

        /// All values in `unit`; unconverted where all have that unit.
        func values(in unit: Unit, isExact: Bool) -> [Double] {
            isExact ? values.map(\.value) : values.map { unit.converted($0.value, from: $0.unit) }
        }
    }
    private var samples: [MeasurementName: Sample] = [:]

    /// Sample sizes and level, which determine the bounds of an interval.
    private struct Size: Hashable {
        let counts: [Int]
        let level: Double
    }

    /// Empty.
    public init() {}

    /// Names of measurements that scenarios declared.
    public var declared: Set<MeasurementName> { Set(samples.filter(\.value.isDeclared).keys) }

    /// The values of a measurement, one for each run, in the unit that was given first; nil for an unknown one.
    func values(of name: MeasurementName) -> (unit: Unit, values: [Double])? {
        guard let sample = samples[name], let unit = sample.units.first else { return nil }
        let known = sample.values.filter { $0.unit.base == unit.base }
        return (unit, known.map { $0.unit == unit ? $0.value : unit.converted($0.value, from: $0.unit) })
    }

    /// Adds a run's measurements and its processor time. Runs that did not pass are ignored, and so are cases that
    /// failed as expected. Several values of one name
    /// in one run count as one, their median: they depend on each other, so they are no sample of what other runs would
    /// measure.
    public mutating func add(_ record: RunRecord) {
        guard record.outcome == .pass || record.outcome == .expectedFailure else { return }
        let run = record.group
        var found: [MeasurementName: [(value: Double, unit: Unit, better: String)]] = [:]
        for one in record.result?.cases ?? [] where one.verdict != .expectedFailure {
            for metric in one.metrics {
                let name = MeasurementName(run: run, case: one.name, metric)
                found[name, default: []].append((metric.value, Unit(metric.unit), metric.better))
            }
        }
        for (name, values) in found {
            // Values whose units cannot be converted into one another are kept, as separate groups.
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

    /// Only the measurements with these names.
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
            // Values whose units cannot be converted are shown unconverted, and not compared.
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

        /// Whether it gets a verdict. Measurements that no script declared are only shown.
        var isJudged: Bool { one.isDeclared && doubt == nil }

        func change(
            _ comparison: Comparison, _ probability: Double, _ verdict: Change.Verdict, _ doubt: Change.Doubt?
        ) -> Change {
            // The second sample's own unit, where it is of another kind.
            let now = self.doubt == nil ? unit : other.units.first ?? unit
            return Change(
                name: name, unit: unit, unitNow: now.base == unit.base ? unit : now, comparison: comparison,
                probability: probability, verdict: verdict, doubt: doubt,
                mostOfARun: max(one.mostOfARun, other.mostOfARun))
        }
    }

    /// Compares measurements that both have, sorted by name. With many measurements some differ by chance, so each test
    /// needs a lower level the more tests there are: at most `level` of all comparisons contain a wrong verdict. The
    /// method is Holm's with Tarone's modification, which does not count tests whose samples are too small for any
    /// verdict.
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
            let own = Level(
                value: level, differs: pair.test.probability <= level, probability: pair.test.probability)
            let level = pair.isJudged ? levels.popFirst() ?? own : own
            let size = Size(counts: [pair.test.counts.0, pair.test.counts.1], level: level.value)
            let outside = known[size] ?? MannWhitney.outside(size.counts[0], size.counts[1], level: level.value)
            known[size] = outside
            let comparison = Comparison(
                pair.values.0, pair.values.1, pair.test, outside: outside, differs: level.differs)
            if let doubt = pair.doubt { return pair.change(comparison, level.probability, .undecided, doubt) }
            guard pair.isJudged else { return pair.change(comparison, level.probability, .notJudged, nil) }
            let (verdict, doubt) = verdict(comparison, pair.one.directions.first ?? "", level, needed)
            return pair.change(comparison, level.probability, verdict, doubt)
        }
    }

    /// Number of measurements of both that get a verdict.
    public static func judged(_ before: Samples, _ after: Samples) -> Int {
        before.samples.count { name, one in
            after.samples[name].flatMap { Pair(name, one, $0) }?.isJudged ?? false
        }
    }

    /// What one test of several has come to.
    private struct Level {
        /// The level at which it was decided.
        var value: Double
        /// Whether it found a difference.
        var differs = false
        /// Its probability, corrected for the number of tests: at most the level of all where it found a difference.
        var probability = 1.0
    }

    /// What each test has come to.
    private static func levels(_ tests: [MannWhitney], _ level: Double) -> [Level] {
        var result = [Level](repeating: Level(value: level), count: tests.count)
        var rest = tests.indices.sorted { tests[$0].probability < tests[$1].probability }[...]
        var current = level, corrected = 0.0, sharing = 1
        while let index = rest.first {
            // Once one has found nothing, none after it does.
            let isOpen = corrected <= level
            if isOpen {
                // Tarone: the smallest divisor of the level such that no more tests than that could reach the divided
                // level.
                sharing = 1
                while rest.count(where: { tests[$0].least <= level / Double(sharing) }) > sharing { sharing += 1 }
                current = level / Double(sharing)
            }
            let differs = isOpen && tests[index].probability <= current
            corrected = max(corrected, min(1, tests[index].probability * Double(sharing)))
            if !differs { corrected = max(corrected, level.nextUp) }
            result[index] = Level(value: current, differs: differs, probability: corrected)
            rest = rest.dropFirst()
        }
        return result
    }

    private static func verdict(
        _ comparison: Comparison, _ better: String, _ level: Level, _ needed: Int
    ) -> (Change.Verdict, Change.Doubt?) {
        // Even where it differs for certain: by less than anything that counts.
        if let shares = comparison.shares, shares.lowerBound >= -margin, shares.upperBound <= margin {
            return (.same, nil)
        }
        guard level.differs else {
            let (n, m) = comparison.counts
            if MannWhitney.least(n, m) > level.value * (1 + 1e-9) { return (.undecided, .needs(needed)) }
            return (.undecided, .wide(more: comparison.more(within: margin)))
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
    /// Its ``id`` without the repetition's number. Runs of different batches are compared by this.
    public var group: String { RunRecord.group(of: id, in: file) }

    /// An id without the repetition's number. `file`: the run's file.
    public static func group(of id: String, in file: String) -> String {
        guard id.hasPrefix(file), let mark = id.dropFirst(file.count).lastIndex(of: "#") else { return id }
        let number = id[id.index(after: mark)...]
        return !number.isEmpty && number.allSatisfy(\.isNumber) ? String(id[..<mark]) : id
    }
}
