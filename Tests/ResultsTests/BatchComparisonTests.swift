import Bindings
import Foundation
import Results
import Runner
import Testing

/// What two batches are said to differ in.
@Suite struct BatchComparisonTests {
    /// A batch that is nowhere but here.
    struct Batch: RecordSource {
        var header = JournalTests.header
        var records: [RunRecord]
        var totals: Totals { records.reduce(into: Totals()) { $0.add($1) } }
        var isEnded = true
        var neverRun: [(id: String, file: String)]?
        var count: Int { records.count }
        func each(_ body: (RunRecord) -> Void) { records.forEach(body) }
    }

    static func record(_ file: String, _ number: Int? = nil, _ outcome: Outcome = .pass) -> RunRecord {
        var record = JournalTests.record(number.map { "\(file)#\($0)" } ?? file, outcome)
        record.file = file
        record.hash = String(repeating: "a", count: 64)
        return record
    }

    static func compare(_ before: [RunRecord], _ now: [RunRecord]) -> BatchComparison {
        BatchComparison(Batch(records: before), Batch(records: now))
    }

    @Test func howOftenARunWasRepeatedDoesNotMatter() {
        let comparison = Self.compare(
            [Self.record("a"), Self.record("b", 1), Self.record("b", 2)],
            (1...5).map { Self.record("a", $0) } + [Self.record("b")])
        #expect(comparison.runs.isEmpty && comparison.unmeasured.isEmpty && !comparison.isWorse)
        // A file may be called so.
        #expect(Self.record("a#1").group == "a#1" && Self.record("a#1", 2).group == "a#1")
    }

    /// JSON has no infinite numbers; 0 would say that nothing has changed.
    @Test(arguments: [(1e-300, 1e10), (-1.5e308, 1.5e308)])
    func aChangeThatIsNoNumberIsLeftOutOfADocument(_ before: Double, _ now: Double) throws {
        func runs(_ value: Double) throws -> [RunRecord] {
            try (1...7).map { try StatisticsTests.samplesRecord(["m": value], id: "a.lua#\($0)") }
        }
        let comparison = Self.compare(try runs(before), try runs(now))
        let side = ComparisonDocument.Side(name: "", started: "", bench: "")
        let document = ComparisonDocument(
            comparison, changes: comparison.changes, before: side, after: side, simulated: false, verdict: "worse",
            notes: [], reason: { _ in "" })
        struct Told: Decodable {
            struct Measurement: Decodable {
                let name: String
                let median: Double
                let change: Double?
                let low: Double?
            }
            let measurements: [Measurement]
        }
        let told = try JSONDecoder().decode(Told.self, from: Data(document.bytes)).measurements
        let one = try #require(told.first { $0.name.hasSuffix("> m") })
        #expect(one.median == before && one.change == nil && one.low == nil)
        let line = String(decoding: document.csv, as: UTF8.self).components(separatedBy: "\r\n")
            .first { $0.contains("> m,") }
        #expect(line?.split(separator: ",", omittingEmptySubsequences: false)[6] == "")
    }

    /// Equal names and outcomes make no equal runs, nor do runs of which no process was started.
    @Test func aBatchAgainstItselfIsTold() {
        func batch(_ time: UInt64) -> [RunRecord] {
            (1...3).map { number in
                var record = Self.record("a", number)
                record.attempts = [
                    Attempt(outcome: .pass, reason: nil, exit: 0, signal: nil, wall_ns: time + UInt64(number))
                ]
                return record
            }
        }
        let itself = Self.compare(batch(100), batch(100)), part = Self.compare(batch(100), Array(batch(100).prefix(2)))
        #expect(itself.isOfOneBatch && itself.shared == 3)
        #expect(!part.isOfOneBatch && part.shared == 2)
        let other = Self.compare(batch(100), batch(200))
        #expect(!other.isOfOneBatch && other.shared == 0)
        var unstarted = Self.record("a", nil, .notRun)
        unstarted.attempts = []
        #expect(!Self.compare([unstarted], [unstarted]).isOfOneBatch)
    }

    @Test(arguments: [
        ([Outcome.pass], [Outcome.fail], BatchComparison.RunChange.Kind.fails, true),
        ([.pass, .pass], [.pass, .crash], .fails, true), ([.pass], [], .missing, true),
        ([.pass], [.skip], .skipped, true),
        ([.fail], [.timeout], .otherwise, false), ([.fail], [.pass], .mended, false),
        ([.skip], [.pass], .mended, false), ([.fail], [.skip], .skipped, true),
        ([.skip, .pass], [.skip], .skipped, true),
        ([.fail], [.skip, .pass], .mended, false), ([.pass], [.notRun], .missing, true),
        ([.pass], [.interrupted], .notRun, false),
        ([], [.pass], .new, false), ([], [.fail], .failsNotRunBefore, true), ([.fail], [.fail, .pass], .flaky, true),
        ([.pass], [.expectedFailure], .known, false), ([.fail], [.expectedFailure], .known, false),
        ([.expectedFailure], [.fail], .fails, true), ([.expectedFailure], [.unexpectedPass], .mended, false),
    ])
    func whatBecameOfARunIsSaid(
        _ before: [Outcome], _ now: [Outcome], _ kind: BatchComparison.RunChange.Kind, _ isWorse: Bool
    ) {
        func records(_ outcomes: [Outcome]) -> [RunRecord] {
            outcomes.enumerated().map { Self.record("a", $0 + 1, $1) } + [Self.record("b")]
        }
        let comparison = Self.compare(records(before), records(now))
        #expect(comparison.runs.map(\.kind) == [kind] && comparison.isWorse == isWorse)
    }

    @Test func whatPassesOnlyWhenTriedAgainIsNewlyFlaky() {
        var flaky = Self.record("a")
        flaky.flaky = true
        #expect(Self.compare([Self.record("a")], [flaky]).runs.map(\.kind) == [.flaky])
        #expect(Self.compare([flaky], [flaky]).runs.isEmpty)
        #expect(Self.compare([flaky], [Self.record("a")]).runs.map(\.kind) == [.mended])
    }

    @Test func whatIsNoLongerMeasuredCounts() throws {
        let one = try StatisticsTests.record([]), other = try StatisticsTests.samplesRecord(["m": 5])
        let comparison = Self.compare([other], [one])
        #expect(comparison.unmeasured.map(\.text) == ["a.lua > one > m"] && comparison.isWorse)
        #expect(Self.compare([one], [other]).measuredAnew.map(\.text) == ["a.lua > one > m"])
    }

    @Test func inWhatBatchesDifferIsSaid() throws {
        var one = Batch(records: [Self.record("a", 1), Self.record("a", 2), Self.record("gone")])
        var other = Batch(records: [Self.record("a")])
        #expect(BatchComparison(one, other).differences.isEmpty)
        other.header = BatchHeader(
            version: "2", arguments: [], directory: "/", started: "", bench: "bench: other", simulated: true)
        other.records[0].hash = String(repeating: "b", count: 64)
        other.records[0].settings = ["size": "64"]
        other.records[0].limits.timeout = 5
        other.records[0].seed = 7
        one.records[0].settings = ["size": "4K"]
        one.records[1].settings = ["size": "4K"]
        // Without a result nobody knows what is a number.
        for (name, value, same) in [("rate", "1", "1.0"), ("length", "64K", "65536")] {
            one.records[0].settings[name] = value
            other.records[0].settings[name] = same
        }
        #expect(
            BatchComparison(one, other).differences == [
                "bench: sim before, other now", "order: not shuffled before, shuffled with --seed 7 now",
                "peerlab: 1 before, 2 now", "a: file: sha256 aaaaaaaaaaaa before, sha256 bbbbbbbbbbbb now",
                "a: option size: 4K before, 64 now", "a: timeout: none before, 5.0 s now",
            ])
    }

    @Test func kernelsAreToldApart() throws {
        func record(_ kernel: String) throws -> RunRecord {
            var record = try StatisticsTests.record([])
            record.result?.environment = ["kernel": kernel]
            return record
        }
        #expect(Self.compare([try record("6.1")], [try record("7.3")]).differences == ["kernel: 6.1 before, 7.3 now"])
    }

    /// Each run has another seed: that is told only where a script drew from it.
    @Test func seedsMatterWhereNumbersAreDrawn() throws {
        func record(_ seed: Int64, draws: Bool?) throws -> RunRecord {
            var record = try StatisticsTests.record([])
            record.result?.seed = seed
            record.result?.random = draws
            return record
        }
        let line = "math.random: other numbers in 1 run that draws some"
        #expect(Self.compare([try record(1, draws: nil)], [try record(2, draws: nil)]).differences == [])
        #expect(Self.compare([try record(1, draws: true)], [try record(2, draws: true)]).differences == [line])
        #expect(Self.compare([try record(1, draws: true)], [try record(1, draws: true)]).differences == [])
    }

    /// Which options are numbers a run that was loaded says.
    @Test(
        arguments: [
            ("64K", "65536", "65536", nil, true), ("0x10", "16", "16", nil, true),
            ("1e3", "1000", "1000.0", "1000", true),
            ("64K", nil, "65536", nil, false), ("64K", "65536", "64k", nil, false), ("1", nil, "1.0", nil, false),
        ] as [(String, String?, String, String?, Bool)])
    func theSameValueIsTheSameOption(
        _ one: String, _ value: String?, _ other: String, _ otherValue: String?, _ isSame: Bool
    ) throws {
        func record(_ text: String, _ value: String?) throws -> RunRecord {
            var record = try StatisticsTests.record([])
            record.settings = ["x": text]
            record.result?.options = ["x": text]
            record.result?.option_values = value.map { ["x": $0] }
            return record
        }
        let differences = Self.compare([try record(one, value)], [try record(other, otherValue)]).differences
        #expect(differences == (isSame ? [] : ["a.lua: option x: \(one) before, \(other) now"]))
    }
}
