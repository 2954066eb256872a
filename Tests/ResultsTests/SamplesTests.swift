import Bindings
import Foundation
import Glibc
import Runner
import Testing

@testable import Results

/// Which numbers are held against each other, and how they are shown.
@Suite struct SamplesTests {
    /// Runs with these metrics each.
    static func samples(_ runs: [[(name: String, value: Double, unit: String, better: String)]]) throws -> Samples {
        var samples = Samples()
        for (index, run) in runs.enumerated() {
            let metrics = try run.map { try StatisticsTests.metric($0.name, $0.value, $0.unit, $0.better) }
            samples.add(try StatisticsTests.record(metrics, id: "a.lua#\(index)"))
        }
        return samples
    }

    static func change(
        _ one: (value: Double, unit: String, better: String), _ other: (value: Double, unit: String, better: String)
    ) throws -> Change {
        func runs(_ metric: (value: Double, unit: String, better: String)) throws -> Samples {
            try samples((0..<6).map { [("m", metric.value + Double($0) / 100, metric.unit, metric.better)] })
        }
        return try #require(Samples.compare(try runs(one), try runs(other)).first { $0.name.one != nil })
    }

    @Test(
        arguments: [
            ((100, "ns", "lower"), (100, "us", "lower"), "worse", 999.0),
            ((5, "us", "lower"), (5, "ns", "lower"), "better", -1),
            ((1, "GB/s", "higher"), (900, "MB/s", "higher"), "worse", -0.1),
            ((1, "KiB", "lower"), (1024, "B", "lower"), "", 0),
            ((0.57, "us", "lower"), (570, "ns", "lower"), "", 0), ((1, "s", ""), (2000, "ms", ""), "changed", 1),
        ] as [((Double, String, String), (Double, String, String), String, Double)])
    func unitsOfOneKindAreConverted(
        _ one: (Double, String, String), _ other: (Double, String, String), _ verdict: String, _ share: Double
    ) throws {
        let change = try Self.change(one, other)
        #expect(verdict.isEmpty || change.verdict.rawValue == verdict)
        #expect(abs(change.comparison.effect.value - share) < 0.05 * max(1, abs(share)))
    }

    @Test func whatIsTheSameStaysSoInAnotherUnit() throws {
        let one = try Self.samples((0..<9).map { [("m", 0.57 + Double($0) / 1000, "us", "lower")] })
        let other = try Self.samples((0..<9).map { [("m", 570 + Double($0), "ns", "lower")] })
        let change = try #require(Samples.compare(one, other).first)
        #expect(change.comparison.test.balance == 0 && change.verdict == .same)
    }

    @Test func otherUnitsAndDirectionsAreNotComparable() throws {
        let units = try Self.change((100, "ns", "lower"), (200, "B/s", "higher"))
        #expect(units.verdict == .undecided && units.doubt == .units(before: ["ns"], now: ["B/s"]))
        let directions = try Self.change((100, "ns", "lower"), (200, "ns", "higher"))
        #expect(directions.verdict == .undecided)
        #expect(directions.doubt == .directions(before: ["lower"], now: ["higher"]))
        #expect(try Self.change((100, "ns", ""), (100, "ns", "lower")).verdict == .undecided)
        // A script that says now this and now that.
        let mixed = try Self.samples((0..<6).map { [("m", 1, $0 < 3 ? "ns" : "B", "lower")] })
        #expect(Samples.compare(mixed, mixed).first?.doubt == .units(before: ["ns", "B"], now: ["ns", "B"]))
    }

    @Test func severalValuesOfOneRunAreOne() throws {
        func runs(_ start: Double) throws -> Samples {
            try Self.samples([(0..<11).map { ("m", start + Double($0), "ns", "lower") }])
        }
        let change = try #require(Samples.compare(try runs(100), try runs(900)).first)
        #expect(change.comparison.counts == (1, 1) && change.comparison.medians == (105, 905))
        #expect(change.verdict == .undecided && change.mostOfARun == 11)
    }

    @Test func namesThatLookAlikeAreNotOne() throws {
        func record(_ one: String, _ metric: String, _ value: Double) throws -> RunRecord {
            var record = try StatisticsTests.record([try StatisticsTests.metric(metric, value)])
            let text = String(decoding: try JSONEncoder().encode(record.result?.cases), as: UTF8.self)
                .replacing("\"name\":\"one\"", with: "\"name\":\"\(one)\"")
            record.result?.cases = try JSONDecoder().decode([CaseResult].self, from: Data(text.utf8))
            return record
        }
        var samples = Samples()
        samples.add(try record("a > b", "c", 1))
        samples.add(try record("a", "b > c", 1000))
        #expect(samples.declared.sorted().map(\.text) == ["a.lua > \"a > b\" > c", "a.lua > a > \"b > c\""])
    }

    @Test func processorTimeDecidesNothing() throws {
        func samples(_ time: UInt64) throws -> Samples {
            var samples = Samples()
            for index in 0..<12 {
                var record = try StatisticsTests.record([], id: "a.lua#\(index)")
                record.cpu_ns = time + UInt64(index)
                samples.add(record)
            }
            return samples
        }
        let changes = Samples.compare(try samples(1000), try samples(9000))
        #expect(changes.map(\.verdict) == [.notJudged] && changes[0].isWorthALine)
        #expect(Samples.judged(try samples(1), try samples(1)) == 0)
        #expect(!Samples.compare(try samples(1000), try samples(1000))[0].isWorthALine)
    }

    @Test(
        arguments: [
            (0.00001, "s", "10 us"), (1.5e-7, "ms", "0.15 ns"), (1e-300, "ns", "1e-300 ns"),
            (1_071_000, "ns", "1.07 ms"),
            (12.5e9, "B/s", "12.5 GB/s"), (4096, "B", "4096 B"), (3_200_000, "", "3.2 M"), (0, "ns", "0 ns"),
            (123456, "ms", "123 s"), (1500, "MB/s", "1.5 GB/s"), (0.00004, "", "4e-05"), (-100, "", "-100"),
            (1500, "packets", "1500 packets"), (2048, "KiB", "2048 KiB"),
            (1.5, "GiB/s", "1.5 GiB/s"), (7200, "s", "7200 s"),
        ] as [(Double, String, String)])
    func numbersAreShownAsPeopleReadThem(_ value: Double, _ unit: String, _ text: String) {
        #expect(Unit(unit).amount(value) == text)
    }

    @Test(
        arguments: [
            (1.006e9, 998e6, "B/s", "1006 MB/s", "998 MB/s", "-0.8 %"),
            (100.4, 101.9, "ns", "100.4 ns", "101.9 ns", "+1.5 %"),
            (1, 0.9999999, "", "1", "0.9999999", "-0.00001 %"),
            (1e-300, 2e-300, "ns", "1e-300 ns", "2e-300 ns", "+100.0 %"),
            (1, 9.97e297, "packets", "1 packets", "9.97e+297 packets", "9.97e+297 times"),
            (100, 100_000, "ns", "100 ns", "100 us", "1000 times"),
            (100, 110, "ns", "100 ns", "110 ns", "+10.0 %"), (5, 0, "B", "5 B", "0 B", "-100.0 %"),
        ] as [(Double, Double, String, String, String, String)])
    func numbersAgreeWithWhatIsSaidOfThem(
        _ one: Double, _ other: Double, _ unit: String, _ first: String, _ second: String, _ percent: String
    ) {
        let texts = Unit(unit).amounts(one, other, isShare: true)
        #expect(texts.0 == first && texts.1 == second)
        #expect(Unit(unit).difference(other / one - 1, isShare: true) == percent)
    }

    @Test func whatIsNothingHasNoSign() {
        #expect(Unit("").difference(-1e-17, isShare: true) == "0.0 %")
        #expect(Unit("ns").difference(-0.0, isShare: false) == "0 ns")
        #expect(Unit("").difference(.infinity, isShare: true) == "more than 1e308 times")
    }
}
