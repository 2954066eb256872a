import Foundation
import Runner
import Testing

@testable import Results

/// What the forms of results say.
@Suite struct FormTests {
    private static func text(_ form: ResultForm, _ records: [RunRecord]) throws -> String {
        try JournalTests.withFile { path in
            try form.write(BatchComparisonTests.Batch(records: records), to: try ResultFile(path))
            return try JournalTests.text(of: path)
        }
    }

    /// A comment names the bench to who reads nothing but the file: a result of a model or of emulated devices must not
    /// pass for one of hardware.
    @Test(arguments: [ResultForm.ktap, .tap])
    func theBenchIsAComment(_ form: ResultForm) throws {
        let line = form == .ktap ? "KTAP version 1\n1..1\n" : "TAP version 13\n1..1\n"
        #expect(try Self.text(form, [JournalTests.record("a")]).hasPrefix(line + "# bench: sim (simulated)\n"))
        func text(_ bench: String, simulated: Bool, _ record: RunRecord) throws -> String {
            let header = BatchHeader(
                version: "1", arguments: [], directory: "/", started: "", bench: bench, simulated: simulated)
            return try JournalTests.withFile { path in
                let batch = BatchComparisonTests.Batch(header: header, records: [record])
                try form.write(batch, to: try ResultFile(path))
                return try JournalTests.text(of: path)
            }
        }
        let sim = "bench: sim (standard); simulated, not a hardware result"
        #expect(try text(sim, simulated: true, JournalTests.record("a")).hasPrefix(line + "# \(sim)\n"))
        // Text of a stranger's journal stays in its line, and makes no directive.
        let odd = try text("bench: host\nok 1 # SKIP", simulated: false, JournalTests.record("a"))
        #expect(odd.split(separator: "\n")[2].hasPrefix("# bench: host") && !odd.contains("# SKIP"))
        // A run of another kind of bench than its batch's, in merged journals.
        var other = try CaseComparisonTests.record([("one", .pass)], id: "a.lua")
        #expect(!(try text("bench: host (this machine)", simulated: false, other)).contains("emulated"))
        let json = String(decoding: try JSONEncoder().encode(other), as: UTF8.self)
            .replacingOccurrences(of: "\"bench\":\"host\"", with: "\"bench\":\"lab\"")
            .replacingOccurrences(of: "\"bench_description\":\"\"", with: "\"bench_description\":\"QEMU, emulated\"")
        other = try JSONDecoder().decode(RunRecord.self, from: Data(json.utf8))
        let told = try text("bench: host (this machine)", simulated: false, other)
        #expect(told.hasPrefix(line + "# bench: host (this machine)\n# bench: lab (QEMU, emulated)\n"))
        #expect(try text("bench: lab", simulated: false, other).hasPrefix(line + "# bench: lab (emulated)\n"))
    }

    /// A run whose first case fails as expected, or passes though it was expected to fail.
    private static func known(isGone: Bool) throws -> RunRecord {
        var record = try CaseComparisonTests.record([("one", .fail), ("two", .pass)], id: "a.lua")
        record.result?.cases[0].verdict = isGone ? .unexpectedPass : .expectedFailure
        record.result?.cases[0].message = isGone ? "expected to fail, but passed" : "it is broken"
        record.result?.cases[0].expected_failure = "bug #3"
        record.outcome = isGone ? .unexpectedPass : .expectedFailure
        record.reason = "one: it is broken"
        return record
    }

    @Test func aKnownFailureIsTODOInKTAPAndTAP() throws {
        let ktap = try Self.text(.ktap, [try Self.known(isGone: false)])
        #expect(ktap.contains("\n  not ok 1 one # TODO bug _3\n") && ktap.contains("\n  ok 2 two\n"))
        #expect(ktap.hasSuffix("\nnot ok 1 a.lua # TODO bug _3\n"))
        #expect(try Self.text(.tap, [try Self.known(isGone: false)]).contains("\nnot ok 1 - a.lua # TODO bug _3\n"))
    }

    @Test func oneThatIsGoneFailsInKTAPAndTAP() throws {
        let ktap = try Self.text(.ktap, [try Self.known(isGone: true)])
        #expect(ktap.contains("\n  not ok 1 one\n") && ktap.hasSuffix("\nnot ok 1 a.lua\n") && !ktap.contains("TODO"))
        #expect(ktap.contains("  # expected to fail, but passed\n"))
        #expect(try Self.text(.tap, [try Self.known(isGone: true)]).contains("\nnot ok 1 - a.lua\n"))
    }

    @Test func aKnownFailureIsSkippedInJUnitAndOneThatIsGoneFails() throws {
        let known = try Self.text(.junit, [try Self.known(isGone: false)])
        #expect(known.contains("tests=\"2\" failures=\"0\" errors=\"0\""))
        #expect(known.contains("<skipped message=\"expected to fail: bug #3: it is broken\"/>"))
        #expect(try Self.text(.junit, [try Self.known(isGone: true)]).contains("tests=\"2\" failures=\"1\""))
    }

    /// The record of a failure, where CI systems look for files of a test case.
    @Test func aRecordIsAnAttachmentOfTheFailedCaseInJUnit() throws {
        var record = try CaseComparisonTests.record([("one", .pass), ("two", .fail)], id: "a.lua")
        record.outcome = .fail
        record.record = "broken/a & b.record"
        let text = try Self.text(.junit, [record])
        #expect(text.contains("<property name=\"record\" value=\"broken/a &amp; b.record\"/>"))
        let parts = text.components(separatedBy: "<testcase ")
        #expect(parts.count == 3 && !parts[1].contains("ATTACHMENT"))
        // The path leads there from any folder: it is of the batch's folder, "/".
        #expect(parts[2].contains("[[ATTACHMENT|/broken/a &amp; b.record]]</system-out>"))
        for path in ["broken/a]]b.record", "broken/a\nb.record", "broken/a\u{1b}b.record"] {
            record.record = path
            let text = try Self.text(.junit, [record])
            #expect(!text.contains("ATTACHMENT") && text.contains("<property name=\"record\""), "\(path)")
        }
        record.record = nil
        #expect(try !Self.text(.junit, [record]).contains("ATTACHMENT"))
    }

    @Test func aCaseThatIsNotSelectedIsSkippedAndFailsNothing() throws {
        var record = try CaseComparisonTests.record([("one", .pass), ("two", .pass)], id: "a.lua")
        record.result?.cases[1].verdict = .notSelected
        record.result?.cases[1].message = "--case does not select it"
        #expect(try Self.text(.junit, [record]).contains("<skipped message=\"--case does not select it\"/>"))
        #expect(
            try Self.text(.ktap, [record]).contains(
                "\n  ok 2 two # SKIP --case does not select it\n# 1 case not selected\nok 1 a.lua\n"))
        #expect(try Self.text(.tap, [record]).hasSuffix("ok 1 - a.lua\n# 1 case not selected\n"))
        var totals = Totals()
        totals.add(record)
        #expect(totals.text(notSelected: 2) == "1 passed, 0 failed, 2 cases not selected")
    }

    @Test func aKnownFailureIsCountedApart() throws {
        var totals = Totals()
        for record in [try Self.known(isGone: false), JournalTests.record("b"), try Self.known(isGone: true)] {
            totals.add(record)
        }
        #expect(totals.text == "1 passed, 0 failed, 1 failed as expected, 1 expected to fail, but passed")
        #expect(totals.bad == 1 && totals.all == 3)
    }

    /// Marks that combine with a comma, a quote or an equals sign hide none of them from a spreadsheet.
    @Test func combiningMarksHideNothingInCSV() throws {
        let record = JournalTests.record("=\u{301}1+1", .crash, reason: "a\"\u{301},\u{301}=2")
        let text = try Self.text(.csv, [record])
        #expect(text.contains("\r\n'=\u{301}1+1,,crash,"))
        #expect(text.contains(",\"a\"\"\u{301},\u{301}=2\","))
    }

    /// What distinguishes measurements of several batches is in each line; an option's text is no formula either.
    @Test func aLineOfCSVNamesBatchAndOptions() throws {
        var record = JournalTests.record("a.lua", .crash)
        record.settings = ["v": "=1+1", "size": "64"]
        let lines = try Self.text(.csv, [record]).components(separatedBy: "\r\n")
        #expect(lines[0].hasSuffix(",reason,label,bench,simulated,options"))
        #expect(lines[1].contains(",yes,") || lines[1].contains(",no,"))
        #expect(lines[1].hasSuffix(",size=64;v==1+1"))
        record.settings = ["=v": "1"]
        #expect(try Self.text(.csv, [record]).contains(",'=v=1\r\n"))
    }

    @Test func numbersAreLinesOfCSV() throws {
        var record = try StatisticsTests.record([try StatisticsTests.metric("m", 12.5)], id: "a,b.lua#1")
        let metrics = record.result?.cases[0].metrics ?? []
        record.result?.cases[0].metrics = metrics + metrics
        let lines = try Self.text(.csv, [record, JournalTests.record("=1+1", .crash, reason: "say \"no\"")])
            .components(separatedBy: "\r\n")
        #expect(lines.count == 5 && lines[4].isEmpty, "a heading, two measurements, a run without cases")
        #expect(lines[0].hasPrefix("run,case,verdict,measurement,size,"))
        #expect(lines[1].hasPrefix("\"a,b.lua#1\",") && lines[1].contains(",12.5,"))
        #expect(lines[3].hasPrefix("'=1+1,,crash,") && lines[3].contains(",\"say \"\"no\"\"\","))
    }
}
