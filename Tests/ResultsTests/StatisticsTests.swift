import Bindings
import Foundation
import Glibc
import Results
import Runner
import Store
import Testing

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

    static func record(_ metrics: [Metric], id: String = "a.lua#1") throws -> Record {
        var record = JournalTests.record(id)
        let text = """
            {"file":"a.lua","name":"a","verdict":"pass","bench":"host","bench_description":"","simulated":false,"options":{},
            "environment":{},"warnings":[],"skipped":[],"calls_refused":0,"faults_unused":[],"left_open":[],"collecting":[],
            "not_modelled":[],"cases":[{"name":"one","verdict":"pass","log":[],"distributions":[],"evidence":[],
            "duration_ns":1,"metrics":\(String(decoding: try JSONEncoder().encode(metrics), as: UTF8.self))}]}
            """
        record.result = try JSONDecoder().decode(ScenarioResult.self, from: Data(text.utf8))
        return record
    }

    static func samples(_ values: [[Double]], better: String = "lower") throws -> Samples {
        var samples = Samples()
        for (index, row) in values.enumerated() {
            samples.add(
                try record(
                    row.enumerated().map { number, value in
                        let text =
                            "{\"name\":\"m\(number)\",\"value\":\(value),\"unit\":\"ns\",\"better\":\"\(better)\"}"
                        return try JSONDecoder().decode(Metric.self, from: Data(text.utf8))
                    }, id: "a.lua#\(index)"))
        }
        return samples
    }

    @Test func equalSamplesAreSeldomCalledARegression() throws {
        var noise = Noise(state: 1)
        var wrong = 0
        for _ in 0..<100 {
            let one = try Self.samples(noise.times(30).map { [$0] }),
                other = try Self.samples(noise.times(30).map { [$0] })
            if Samples.compare(one, other).contains(where: { $0.verdict == .worse }) { wrong += 1 }
        }
        #expect(wrong <= 5)
    }

    @Test func manyMeasurementsAtOnceAreNoMoreOftenCalledOne() throws {
        var noise = Noise(state: 2)
        var wrong = 0
        for _ in 0..<20 {
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
            let one = try Self.samples(noise.times(30).map { [$0] }, better: better)
            let other = try Self.samples(noise.times(30, shift: shift).map { [$0] }, better: better)
            let change = try #require(Samples.compare(one, other).first { $0.name.contains("m0") })
            if change.verdict.rawValue == expected {
                found += 1
                #expect(change.comparison.interval.contains(0) == false)
                #expect(abs(change.comparison.effect - (shift - 1)) < 0.04)
            }
        }
        #expect(found >= 45)
    }

    @Test func theNumbersAreThoseOfTheBook() throws {
        // Mann and Whitney's U of 1..5 against 6..10 is 0: z = (12.5 - 0.5) / sqrt(25 * 11 / 12) = 2.5067, p = 0.01219.
        let apart = try #require(Comparison([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]))
        #expect(abs(apart.probability - 0.01219) < 0.0001)
        #expect(apart.medians.0 == 3 && apart.medians.1 == 8 && abs(apart.effect - 5.0 / 3) < 1e-9)
        let equal = try #require(Comparison([2, 2, 2], [2, 2, 2]))
        #expect(equal.probability == 1 && equal.effect == 0)
        #expect(Comparison([], [1]) == nil)
    }

    @Test func tooFewValuesShowNothing() throws {
        let changes = Samples.compare(try Self.samples([[1], [1], [1]]), try Self.samples([[9], [9], [9]]))
        #expect(changes.allSatisfy { $0.verdict == .few } && !changes.isEmpty)
    }

    @Test func whatIsStoredIsReadAgainAndHasAHistory() throws {
        let folder = try StoreTests.Folder()
        let store = try Store(folder.path + "/store")
        for (day, outcome) in [(1, Outcome.pass), (2, .fail), (3, .pass)] {
            try JournalTests.withFile { place in
                let header = BatchHeader(
                    version: "1", arguments: ["x"], directory: "/", started: "2026-01-0\(day)T00:00:00Z",
                    bench: "bench: sim", simulated: true)
                let journal = try Journal(place, header: header)
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
