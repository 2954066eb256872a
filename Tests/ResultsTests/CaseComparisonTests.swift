import Foundation
import Runner
import Testing

@testable import Results

/// What is said of cases, and of what a batch that was cut off does not tell.
@Suite struct CaseComparisonTests {
    typealias Kind = BatchComparison.RunChange.Kind

    /// A run with these cases; it fails where one of them does, or where `outside` does.
    static func record(_ cases: [(String, Verdict)], outside: Bool = false, id: String = "a.lua#1") throws -> RunRecord
    {
        var record = try StatisticsTests.record([], id: id)
        let text = cases.map { name, verdict in
            """
            {"name":"\(name)","verdict":"\(verdict.rawValue)","log":[],"distributions":[],"evidence":[],"duration_ns":1,
            "metrics":[]}
            """
        }
        let json = "[" + text.joined(separator: ",") + "]"
        record.result?.cases = try JSONDecoder().decode([CaseResult].self, from: Data(json.utf8))
        if outside { record.result?.collecting = ["memory: it failed"] }
        let isAllSkipped = !cases.isEmpty && cases.allSatisfy { [.skip, .notSelected].contains($0.1) }
        record.outcome = outside || cases.contains { $0.1 == .fail } ? .fail : isAllSkipped ? .skip : .pass
        return record
    }

    static func changes(_ comparison: BatchComparison) -> [String] { comparison.runs.map { "\($0.kind) \($0.name)" } }

    @Test(
        arguments: [
            // Both fail, in other cases.
            (
                [("a", .fail), ("b", .pass)], [("a", .pass), ("b", .fail)], ["mended a.lua > a", "fails a.lua > b"],
                true
            ),
            ([("a", .fail), ("b", .pass)], [("a", .fail), ("b", .fail)], ["fails a.lua > b"], true),
            ([("a", .pass), ("b", .pass)], [("a", .pass), ("b", .skip)], ["skipped a.lua > b"], true),
            ([("a", .fail), ("b", .pass)], [("a", .fail), ("b", .skip)], ["skipped a.lua > b"], true),
            ([("a", .pass), ("b", .pass)], [("a", .pass)], ["missing a.lua > b"], true),
            (
                [("a", .pass), ("b", .fail)], [("a", .pass), ("b", .notSelected)], ["notRun a.lua > b"], false
            ),
            ([("a", .pass), ("b", .notSelected)], [("a", .pass), ("b", .pass)], [], false),
            // What was not run before may fail for the first time now.
            (
                [("a", .pass), ("b", .notSelected)], [("a", .pass), ("b", .fail)],
                ["failsNotRunBefore a.lua > b"], true
            ),
            (
                [("a", .pass), ("b", .notRun)], [("a", .pass), ("b", .fail)],
                ["fails a.lua", "failsNotRunBefore a.lua > b"], true
            ),
            (
                [("a", .fail), ("b", .notSelected)], [("a", .pass), ("b", .fail)],
                ["mended a.lua > a", "failsNotRunBefore a.lua > b"], true
            ),
            (
                [("a", .pass), ("b", .notSelected)], [("a", .pass), ("b", .expectedFailure)], [], false
            ),
            (
                [("a", .pass), ("b", .fail)], [("a", .fail), ("b", .notSelected)],
                ["fails a.lua > a", "notRun a.lua > b"], true
            ),
            // None is selected.
            ([("a", .pass), ("b", .fail)], [("a", .notSelected), ("b", .notSelected)], ["notRun a.lua"], false),
            (
                [("a", .notSelected), ("b", .notSelected)], [("a", .pass), ("b", .fail)],
                ["failsNotRunBefore a.lua", "failsNotRunBefore a.lua > b"], true
            ),
            ([("a", .pass), ("b", .skip)], [("a", .pass), ("b", .pass)], ["mended a.lua > b"], false),
            ([("a", .pass)], [("a", .pass), ("b", .pass)], ["new a.lua > b"], false),
            ([("a", .pass)], [("a", .pass), ("b", .fail)], ["fails a.lua", "failsNotRunBefore a.lua > b"], true),
            // The order says nothing.
            ([("a", .pass), ("b", .pass)], [("b", .pass), ("a", .pass)], [], false),
            // Cases of one name.
            (
                [("a", .fail), ("a", .pass)], [("a", .pass), ("a", .fail)],
                ["mended a.lua > a", "fails a.lua > a (2)"], true
            ),
        ] as [([(String, Verdict)], [(String, Verdict)], [String], Bool)])
    func whatBecameOfACaseIsSaid(
        _ before: [(String, Verdict)], _ now: [(String, Verdict)], _ expected: [String], _ isWorse: Bool
    ) throws {
        let comparison = BatchComparisonTests.compare([try Self.record(before)], [try Self.record(now)])
        #expect(Self.changes(comparison) == expected && comparison.isWorse == isWorse)
    }

    @Test func whatFailsOutsideOfCasesIsAFailureOfItsOwn() throws {
        let one = try Self.record([("a", .fail)]), other = try Self.record([("a", .pass)], outside: true)
        let comparison = BatchComparisonTests.compare([one], [other])
        #expect(Self.changes(comparison) == ["mended a.lua > a", "fails a.lua > outside its cases"])
        #expect(comparison.isWorse)
        // A crash without a result, where a case had failed, has lost the rest.
        var crash = JournalTests.record("a.lua#1", .crash)
        crash.file = "a.lua"
        let two = try Self.record([("a", .fail), ("b", .pass)])
        #expect(
            Self.changes(BatchComparisonTests.compare([two], [crash])) == [
                "otherwise a.lua", "missing a.lua > a", "missing a.lua > b", "fails a.lua > outside its cases",
            ])
        // Where not all cases were selected before, what is outside of them was not run whole.
        let some = try Self.record([("a", .pass), ("b", .notSelected)])
        #expect(
            Self.changes(BatchComparisonTests.compare([some], [try Self.record([("a", .pass)], outside: true)])) == [
                "failsNotRunBefore a.lua > outside its cases"
            ])
        // Where nothing of the run is left, its own line says it.
        #expect(Self.changes(BatchComparisonTests.compare([other], [])) == ["missing a.lua"])
    }

    @Test func aCaseThatFailsNowAndThenIsAFailure() throws {
        let pass = [("a", Verdict.pass)], fail = [("a", Verdict.fail)]
        let before = [try Self.record(pass), try Self.record(pass, id: "a.lua#2")]
        let comparison = BatchComparisonTests.compare(before, [before[0], try Self.record(fail, id: "a.lua#2")])
        #expect(Self.changes(comparison) == ["fails a.lua", "fails a.lua > a"])
        #expect(comparison.runs.last?.now == "1 fail, 1 pass")
    }

    @Test func whatABatchThatWasCutOffDidNotRunIsNotMissing() throws {
        let all = try ["a.lua", "b.lua", "c.lua"].map { name in
            var record = try StatisticsTests.samplesRecord(["m": 1], id: name)
            record.file = name
            return record
        }
        let whole = BatchComparisonTests.Batch(records: all)
        var cut = BatchComparisonTests.Batch(records: [all[0]], isEnded: false)
        // The plan is not known: any of them may be wanting for that.
        var comparison = BatchComparison(whole, cut)
        #expect(comparison.runs.map(\.kind) == [.notRun, .notRun] && comparison.unmeasured.isEmpty)
        #expect(!comparison.isWorse && comparison.isUndecided)
        #expect(cut.shortfall == "the batch is not complete, and which of its runs are wanting is not known")
        // It is known: what was not planned is missing.
        cut.neverRun = [("b.lua", "b.lua")]
        comparison = BatchComparison(whole, cut)
        #expect(Self.changes(comparison) == ["notRun b.lua", "missing c.lua"] && comparison.isWorse)
        #expect(cut.shortfall == "the batch is not complete: of 2 runs 1 was never run: b.lua")
        #expect(BatchComparison(cut, whole).runs.map(\.kind) == [.new])
        #expect(whole.shortfall == nil)
    }

    @Test func aJournalTellsWhichRunsWereNeverRun() throws {
        try JournalTests.withFile { place in
            let header = BatchHeader(
                version: "1", arguments: [], directory: "/", started: "", bench: "bench: sim", simulated: true, runs: 3)
            let journal = try BatchJournal(place, header: header)
            try journal.add([PlannedFile("a", hash: "", ids: ["a#1", "a#2"]), PlannedFile("b", hash: "", ids: ["b"])])
            try journal.add(JournalTests.record("a#1"))
            try journal.flush()
            let reader = try JournalReader(place, keepsPlan: true)
            #expect(reader.neverRun?.map(\.id) == ["a#2", "b"])
            #expect(try JournalReader(place).neverRun == nil)
        }
    }
}
