import Bindings
import Foundation
import Glibc
import Runner
import Store
import Testing

@testable import Results

/// What is called a regression, and what is not.
@Suite struct StatisticsTests {
    /// SplitMix64 with normal numbers from it (Box and Muller).
    struct Noise {
        var state: UInt64

        mutating func uniform() -> Double {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = state
            word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
            return (Double((word ^ word >> 31) >> 11) + 0.5) / Double(1 << 53)
        }

        mutating func normal() -> Double { (-2 * log(uniform())).squareRoot() * cos(2 * Double.pi * uniform()) }

        /// Times as machines give them: about 1000, a few per cent more or less, now and then far too long.
        mutating func times(_ count: Int, shift: Double = 1) -> [Double] {
            (0..<count).map { _ in shift * 1000 * (1 + 0.03 * normal()) * (uniform() < 0.05 ? 2 : 1) }
        }
    }

    static func metric(_ name: String, _ value: Double, _ unit: String = "ns", _ better: String = "lower") throws
        -> Metric
    {
        let text = "{\"name\":\"\(name)\",\"value\":\(value),\"unit\":\"\(unit)\",\"better\":\"\(better)\"}"
        return try JSONDecoder().decode(Metric.self, from: Data(text.utf8))
    }

    static func record(_ metrics: [Metric], id: String = "a.lua#1") throws -> RunRecord {
        var record = JournalTests.record(id)
        record.file = "a.lua"
        let text = """
            {"file":"a.lua","name":"a","verdict":"pass","bench":"host","bench_description":"","simulated":false,"options":{},
            "environment":{},"warnings":[],"skipped":[],"calls_refused":0,"faults_unused":[],"left_open":[],"collecting":[],
            "not_modelled":[],"cases":[{"name":"one","verdict":"pass","log":[],"distributions":[],"evidence":[],
            "duration_ns":1,"metrics":\(String(decoding: try JSONEncoder().encode(metrics), as: UTF8.self))}]}
            """
        record.result = try JSONDecoder().decode(ScenarioResult.self, from: Data(text.utf8))
        return record
    }

    /// A run with these measurements.
    static func samplesRecord(_ values: [String: Double], id: String = "a.lua#1", better: String = "lower") throws
        -> RunRecord
    {
        try record(values.map { try metric($0, $1, "ns", better) }, id: id)
    }

    static func samples(_ values: [[Double]], better: String = "lower") throws -> Samples {
        var samples = Samples()
        for (index, row) in values.enumerated() {
            samples.add(
                try samplesRecord(
                    Dictionary(uniqueKeysWithValues: row.enumerated().map { ("m\($0)", $1) }), id: "a.lua#\(index)",
                    better: better))
        }
        return samples
    }

    static func verdict(_ one: [Double], _ other: [Double], _ better: String = "lower") throws -> Change {
        let changes = Samples.compare(
            try samples(one.map { [$0] }, better: better), try samples(other.map { [$0] }, better: better))
        return try #require(changes.first { $0.name.text.contains("m0") })
    }

    /// 100 pairs of each size and shift, told by `ab`'s own rule: worse, and worse again with as many further values. The
    /// table is printed.
    @Test func noVerdictIsWrongAtAnySizeAndShift() throws {
        var noise = Noise(state: 1)
        var falseRegressions = 0
        print("runs  shift  worse  better  same  undecided")
        for runs in [5, 6, 8, 10, 15, 20, 30] {
            for shift in [1, 1.02, 1.05, 10] {
                var counts: [Change.Verdict: Int] = [:]
                for _ in 0..<100 {
                    let (one, other) = (noise.times(runs), noise.times(runs, shift: shift))
                    var change = try Self.verdict(one, other)
                    // What the exact test rejects is never the same. It has the level for itself: the records' processor
                    // time is always alike.
                    let exact = try #require(MannWhitney(one, other)).probability
                    let isWide = if case .wide? = change.doubt { true } else { false }
                    #expect((exact <= Samples.level) == ((change.verdict != .same || change.isSmall) && !isWide))
                    // What is called the same can have changed by no more than the margin.
                    let bounds = change.comparison.effect.interval ?? -1...1
                    let isNarrow = bounds.lowerBound >= -Samples.margin && bounds.upperBound <= Samples.margin
                    #expect(change.verdict != .same || isNarrow)
                    if change.verdict == .worse {
                        let again = try Self.verdict(noise.times(runs), noise.times(runs, shift: shift))
                        if again.verdict != .worse { change = change.unconfirmed }
                    }
                    counts[change.verdict, default: 0] += 1
                }
                let columns = [Change.Verdict.worse, .better, .same, .undecided].map { counts[$0] ?? 0 }
                print("\(runs)  \(shift)  " + columns.map { "\($0)" }.joined(separator: "  "))
                if shift == 1 { falseRegressions += columns[0] }
                if shift == 10 { #expect(columns[0] + columns[3] == 100 && columns[2] == 0, "\(runs) runs") }
                if shift == 10, runs >= 10 { #expect(columns[0] == 100, "\(runs) runs") }
            }
        }
        // 700 equal pairs.
        #expect(falseRegressions <= 7)
    }

    @Test func manyMeasurementsAtOnceAreNoMoreOftenCalledOne() throws {
        var noise = Noise(state: 2)
        var wrong = 0
        for _ in 0..<100 {
            func rows() -> [[Double]] {
                let columns = (0..<40).map { _ in noise.times(12) }
                return (0..<12).map { row in columns.map { $0[row] } }
            }
            let one = try Self.samples(rows()), other = try Self.samples(rows())
            if Samples.compare(one, other).contains(where: { $0.verdict == .worse }) { wrong += 1 }
        }
        #expect(wrong <= 1)
    }

    @Test(arguments: [
        ("lower", 1.05, "worse"), ("higher", 1.05, "better"), ("lower", 0.95, "better"), ("", 1.05, "changed"),
    ])
    func aRealShiftIsFoundWithThirtyValues(_ better: String, _ shift: Double, _ expected: String) throws {
        var noise = Noise(state: 3)
        var found = 0
        for _ in 0..<50 {
            let change = try Self.verdict(noise.times(30), noise.times(30, shift: shift), better)
            if change.verdict.rawValue == expected {
                found += 1
                #expect(change.comparison.effect.interval?.contains(0) != true)
                #expect(abs(change.comparison.effect.value - (shift - 1)) < 0.05)
            }
        }
        #expect(found >= 45)
    }

    /// A difference that is certain, and certainly less than what counts.
    @Test(arguments: ["lower", "higher", ""])
    func aSmallCertainChangeIsTheSame(_ better: String) throws {
        let one = (0..<12).map { 100 + Double($0) / 100 }
        let change = try Self.verdict(one, one.map { $0 * 1.01 }, better)
        #expect(change.verdict == .same && change.isSmall && change.doubt == nil)
        #expect(change.comparison.test.probability < Samples.level)
        let same = try Self.verdict(one, one, better)
        #expect(same.verdict == .same && !same.isSmall)
    }

    /// Probabilities of SciPy 1.17 (exact), and of counting every way to deal the values.
    @Test func probabilitiesAreExact() throws {
        func test(_ one: [Double], _ other: [Double]) throws -> MannWhitney { try #require(MannWhitney(one, other)) }
        #expect(abs(try test([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]).probability - 2.0 / 252) < 1e-12)
        #expect(abs(try test([1, 1, 1, 1, 1], [1, 2, 2, 2, 2]).probability - 0.047619047619047616) < 1e-12)
        let tied = try test([1, 2, 2, 3, 4], [2, 3, 4, 4, 5, 6, 7])
        #expect(abs(tied.probability - 0.05808080808080808) < 1e-12 && tied.balance == 24)
        #expect(abs(tied.least - 0.0025252525252525255) < 1e-12)
        let long = try test((0..<30).map { Double($0 * 7 % 31) }, (0..<30).map { Double($0) + 0.05 })
        #expect(abs(long.probability - 0.9007433479905) < 1e-9)
        let rare = try test([Double](repeating: 0, count: 100), (0..<100).map { $0 < 8 ? Double($0 + 1) : 0 })
        #expect(abs(rare.probability - 0.00675467457524821) < 1e-12)
        // 100 of each are not counted.
        let many = try test((0..<100).map { Double($0) }, (0..<100).map { Double($0) + 10.5 })
        #expect(abs(many.probability - 0.014877600142181972) < 0.0005)
        let equal = try test([2, 2, 2], [2, 2, 2])
        #expect(equal.probability == 1 && equal.least == 1 && equal.balance == 0)
        #expect(MannWhitney([], [1]) == nil)
    }

    /// The tables of Mann and Whitney's U for 5 % and 1 %, two-sided.
    @Test(arguments: [
        (5, 5, 2, 0), (6, 6, 5, 2), (7, 7, 8, 4), (8, 8, 13, 7), (10, 10, 23, 16), (20, 20, 127, 105), (5, 8, 6, 2),
    ])
    func criticalValuesAreThoseOfTheTables(_ n: Int, _ m: Int, _ five: Int, _ one: Int) {
        #expect(MannWhitney.outside(n, m, level: 0.05) == five)
        #expect(MannWhitney.outside(n, m, level: 0.01) == one)
        #expect(MannWhitney.outside(4, 4, level: 0.01) == nil)
    }

    @Test func whatMayHaveChangedIsNotCalledTheSame() throws {
        var noise = Noise(state: 4)
        // Six of each say little of values that spread by 3 %.
        let few = try Self.verdict(noise.times(6), noise.times(6))
        guard case .wide(let more?)? = few.doubt else {
            Issue.record("\(few.verdict), \(String(describing: few.doubt))")
            return
        }
        #expect(few.verdict == .undecided && few.comparison.effect.interval != nil && (1...1000).contains(more))
        #expect(try Self.verdict(noise.times(60), noise.times(60)).verdict == .same)
        // Counters that never change are the same from the least number of runs on.
        #expect(try Self.verdict([7, 7, 7, 7, 7], [7, 7, 7, 7, 7]).verdict == .same)
        #expect(try Self.verdict([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]).verdict == .same)
    }

    @Test func probabilitiesOfSeveralMeasurementsAreCorrected() throws {
        // Each row is a run, each column a measurement; the second differs most, the others hardly.
        let one = (0..<8).map { row in [10.0, 10, 10].enumerated().map { $1 + Double((row * ($0 + 3)) % 8) * 0.1 } }
        let other = one.map { [$0[0] + 0.05, $0[1] + 5, $0[2] + 0.15] }
        let changes = Samples.compare(try Self.samples(one), try Self.samples(other)).filter(\.isJudged)
        let raw = changes.map(\.comparison.test.probability), corrected = changes.map(\.probability)
        #expect(changes.count == 3 && changes[1].verdict == .worse)
        // Holm: the least is tripled, the next doubled at least, and none is less than one before it.
        #expect(abs(corrected[1] - 3 * raw[1]) < 1e-12 && corrected[1] <= Samples.level)
        #expect(corrected[0] > Samples.level && corrected[0] >= min(1, raw[0]) && corrected[2] >= min(1, raw[2]))
        #expect(zip(raw, corrected).allSatisfy { $0 <= $1 && $1 <= 1 })
    }

    @Test func aTenfoldDropIsFoundWithSixValues() throws {
        let change = try Self.verdict([100, 101, 99, 102, 98, 103], [10, 10.1, 9.9, 10.2, 9.8, 10.3], "higher")
        #expect(change.verdict == .worse)
        #expect(abs(change.comparison.effect.value + 0.9) < 0.001)
    }

    @Test func tooFewValuesDecideNothing() throws {
        let changes = Samples.compare(try Self.samples([[1], [1], [1]]), try Self.samples([[9], [9], [9]]))
        // Of processor time nobody asked for a verdict.
        #expect(changes.map(\.verdict) == [.undecided, .notJudged])
        #expect(changes.map(\.doubt) == [.needs(5), nil])
        #expect(changes.allSatisfy { $0.comparison.effect.interval == nil })
        #expect([1, 2, 5, 18].map { MannWhitney.fewest(level: 0.01 / $0) } == [5, 6, 7, 8])
    }

    @Test func whatIsAlwaysEqualTakesNoLevelFromTheRest() throws {
        // 40 counters that never change, and one measurement, of which 6 values show everything.
        let one = (0..<6).map { [Double($0)] + [Double](repeating: 7, count: 40) }
        let other = (0..<6).map { [Double($0) + 100] + [Double](repeating: 7, count: 40) }
        let changes = Samples.compare(try Self.samples(one), try Self.samples(other))
        #expect(changes.filter { $0.verdict == .worse }.map(\.name.text) == ["a.lua > one > m0"])
    }

    @Test func aPercentageIsOfTheMediansAndPossible() throws {
        // Most pairs rise by 0.4 %, and the median falls by 7 %: that is what is said, and no bound that denies it.
        let two = try #require(Comparison([100, 100, 100, 92, 92], [93, 93, 93, 100.4, 100.4]))
        #expect(abs(two.effect.value + 0.07) < 1e-9 && two.effect.isShare)
        #expect(two.effect.interval.map { $0.contains(two.effect.value) } ?? true)
        // Nothing falls by more than 100 %.
        let gone = try #require(Comparison([1, 50, 100, 200, 900, 1000], [0, 0, 0, 0, 0, 0]))
        #expect(gone.effect.value == -1 && gone.effect.isShare)
        #expect(gone.effect.interval.map { $0.lowerBound >= -1 } ?? true)
        // From 0, or from something negative, there is no percentage.
        let risen = try #require(Comparison([0, 0, 0, 0, 0, 0], [6, 6, 7, 7, 8, 8]))
        #expect(!risen.effect.isShare && risen.effect.value == 7)
        #expect(try !#require(Comparison([-100, -101, -99], [-110, -111, -109])).effect.isShare)
    }

    @Test func whatRisesWhileItsMedianFallsIsNoVerdict() throws {
        // 30 of each: ranks say more, medians less.
        let noise: [Double] = (0..<30).map { Double($0) * 0.01 }
        let one: [Double] = noise.enumerated().map { $1 + ($0 < 16 ? 100.0 : 50.0) }
        let other: [Double] = noise.enumerated().map { $1 + ($0 < 14 ? 200.0 : 99.0) }
        let change = try Self.verdict(one, other)
        #expect(change.comparison.test.balance > 0 && change.comparison.effect.value < 0)
        #expect(change.verdict == .undecided && change.doubt == .shapes)
    }

    @Test func whatIsStoredIsReadAgainAndHasAHistory() throws {
        let folder = try StoreTests.Folder()
        let store = try Store(folder.path + "/store")
        for (day, outcome) in [(1, Outcome.pass), (2, .fail), (3, .pass)] {
            try JournalTests.withFile { place in
                let header = BatchHeader(
                    version: "1", arguments: ["x"], directory: "/", started: "2026-01-0\(day)T00:00:00Z",
                    bench: "bench: sim", simulated: true)
                let journal = try BatchJournal(place, header: header)
                try journal.add(JournalTests.record("a", outcome))
                try journal.add(JournalTests.record("b\(day)"))
                try journal.end(at: "2026-01-31T00:00:00Z")
                #expect(try store.add(try JournalReader(place)) == Int64(day))
            }
        }
        var passed: [Int] = []
        try store.batches { passed.append($0.totals.count(.pass)) }
        #expect(passed == [2, 1, 2])
        let last = try #require(try store.batch(3))
        #expect(last.count == 2 && last.isEnded && last.header.started == "2026-01-03T00:00:00Z")
        #expect(try store.history(of: last)["a"]?.map(\.outcome) == [.pass, .fail])
        #expect(try store.batch(4) == nil)
    }
}
