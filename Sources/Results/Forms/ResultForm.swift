import FoundationEssentials
public import Kernel
public import Runner

/// A format of results.
public enum ResultForm: String, Sendable, CaseIterable {
    /// Kernel Test Anything Protocol, version 1 (Documentation/dev-tools/ktap.rst).
    case ktap
    /// Test Anything Protocol, version 13 (testanything.org).
    case tap
    /// JUnit XML, for Jenkins and GitLab.
    case junit
    /// One JSON document.
    case json
    /// One JSON document for each run, a line each.
    case jsonl
    /// Comma-separated values, a line for each measurement.
    case csv
    /// An HTML page.
    case html

    /// Writes a page that also compares a batch with the one before.
    public static func page(
        _ journal: any RecordSource, against before: any RecordSource, _ comparison: ComparisonDocument,
        history: [String: [PastRun]] = [:], to file: ResultFile
    ) throws(Failure) {
        try file.write { pieces in
            HTMLReport.write(journal, history: history, comparison: (comparison, before), to: &pieces)
        }
    }

    /// Writes a batch to a file, which is replaced only by a complete one. `history`: earlier runs, for the page.
    public func write(_ journal: any RecordSource, history: [String: [PastRun]] = [:], to file: ResultFile)
        throws(Failure)
    {
        try file.write { pieces in
            switch self {
            case .ktap: KTAP.write(journal, to: &pieces)
            case .tap: TAP.write(journal, to: &pieces)
            case .junit: JUnit.write(journal, to: &pieces)
            case .json: JSONForm.write(journal, to: &pieces)
            case .jsonl: JSONForm.writeLines(journal, to: &pieces)
            case .csv: CSV.write(journal, to: &pieces)
            case .html: HTMLReport.write(journal, history: history, to: &pieces)
            }
        }
    }
}

/// Text shared by KTAP and TAP.
enum TestLine {
    /// A description: one line, without "#", which begins a directive.
    static func name(_ text: String) -> String { PrintableText.line(text).replacing("#", with: "_") }

    /// " # TODO REASON" of what was expected to fail, and did; both protocols count that as no failure.
    static func todo(_ isExpected: Bool, _ reason: String?) -> String {
        isExpected ? " # TODO \(name(reason ?? "expected to fail"))" : ""
    }

    /// "# bench: sim (standard: ...); simulated, not a hardware result", a comment in both protocols. It comes after the
    /// plan: between version and plan, some parsers refuse comments.
    static func bench(_ header: BatchHeader) -> String {
        let word = header.simulated ? "simulated" : header.bench.hasPrefix("bench: lab") ? "emulated" : ""
        let isTold = word.isEmpty || header.bench.contains(word)
        return "# \(name(header.bench))\(isTold ? "" : " (\(word))")\n"
    }

    /// The same for one run, where its bench is of another kind than the batch's, as in merged journals; else nothing.
    static func bench(_ record: RunRecord, in header: BatchHeader) -> String {
        guard let result = record.result, !"\(header.bench) ".hasPrefix("bench: \(result.bench) ") else { return "" }
        let simulated = result.simulated ? "; simulated" : ""
        return "# \(name("bench: \(result.bench) (\(result.bench_description))\(simulated)"))\n"
    }

    static func reason(_ record: RunRecord) -> String { record.reason ?? record.outcome.rawValue }

    /// Lines of a text.
    static func lines(_ text: String) -> [String] { PrintableText.lines(text).filter { !$0.isEmpty } }
}

extension Outcome {
    /// Whether TAP says "ok" of it. "not ok" with the directive TODO is no failure there.
    fileprivate var isOK: Bool { self == .pass || self == .skip }
}

enum KTAP {
    static func write(_ journal: some RecordSource, to pieces: inout ResultFile.Pieces) {
        var text = pieces
        text.add("KTAP version 1\n1..\(journal.count)\n" + TestLine.bench(journal.header))
        var number = 0
        journal.each { record in
            number += 1
            text.add(TestLine.bench(record, in: journal.header))
            if let result = record.result, result.skipped.isEmpty, !result.cases.isEmpty {
                text.add("  KTAP version 1\n  1..\(result.cases.count)\n")
                for (index, one) in result.cases.enumerated() {
                    for line in one.log.flatMap(TestLine.lines) { text.add("  # \(line)\n") }
                    let isSkipped = [.skip, .notRun, .notSelected].contains(one.verdict)
                    if one.verdict != .pass, !isSkipped, let message = one.message {
                        for line in TestLine.lines(message) { text.add("  # \(line)\n") }
                    }
                    for line in (one.further ?? []).flatMap({ TestLine.lines($0.line) }) { text.add("  # \(line)\n") }
                    for line in (one.kernel?.shown ?? []).flatMap(TestLine.lines) { text.add("  # \(line)\n") }
                    let good = one.verdict == .pass || isSkipped
                    let skip = isSkipped ? " # SKIP \(TestLine.name(one.message ?? ""))" : ""
                    let todo = TestLine.todo(one.verdict == .expectedFailure, one.expected_failure)
                    text.add("  \(good ? "ok" : "not ok") \(index + 1) \(TestLine.name(one.name))\(skip)\(todo)\n")
                }
            }
            if !record.outcome.isGood {
                text.add("# \(record.outcome.rawValue): \(TestLine.name(TestLine.reason(record)))\n")
            }
            for line in record.trace.flatMap(TestLine.lines) { text.add("# trace: \(line)\n") }
            let skip = record.outcome == .skip ? " # SKIP \(TestLine.name(TestLine.reason(record)))" : ""
            let todo = TestLine.todo(record.outcome == .expectedFailure, record.expectation)
            let directive = record.outcome == .timeout ? " # TIMEOUT" : skip + todo
            if let selection = record.selection { text.add("# \(selection)\n") }
            text.add("\(record.outcome.isOK ? "ok" : "not ok") \(number) \(TestLine.name(record.id))\(directive)\n")
        }
        pieces = text
    }
}

enum TAP {
    static func write(_ journal: some RecordSource, to pieces: inout ResultFile.Pieces) {
        var text = pieces
        text.add("TAP version 13\n1..\(journal.count)\n" + TestLine.bench(journal.header))
        var number = 0
        journal.each { record in
            number += 1
            text.add(TestLine.bench(record, in: journal.header))
            let skip = record.outcome == .skip ? " # SKIP \(TestLine.name(TestLine.reason(record)))" : ""
            let todo = TestLine.todo(record.outcome == .expectedFailure, record.expectation)
            text.add("\(record.outcome.isOK ? "ok" : "not ok") \(number) - \(TestLine.name(record.id))\(skip)\(todo)\n")
            if let selection = record.selection { text.add("# \(selection)\n") }
            guard !record.outcome.isGood || record.flaky else { return }
            text.add("  ---\n  outcome: \(record.outcome.rawValue)\n  flaky: \(record.flaky)\n")
            text.add("  message: \(quoted(TestLine.reason(record)))\n")
            text.add("  duration_ms: \(record.wall / 1_000_000)\n")
            if let signal = record.attempts.last?.signal { text.add("  signal: \(quoted(signal))\n") }
            if let exit = record.attempts.last?.exit { text.add("  exit: \(exit)\n") }
            block("further", record.further.flatMap(TestLine.lines), &text)
            let kernel = record.result?.cases.flatMap { $0.kernel?.shown ?? [] } ?? []
            block("kernel", kernel.flatMap(TestLine.lines), &text)
            block("errors", record.errors.map(TestLine.lines) ?? [], &text)
            block("trace", record.trace.flatMap(TestLine.lines), &text)
            text.add("  ...\n")
        }
        pieces = text
    }

    private static func block(_ name: String, _ lines: [String], _ text: inout ResultFile.Pieces) {
        guard !lines.isEmpty else { return }
        // The first line of a YAML block sets the block's indentation, so its own blanks are dropped. TAP readers do
        // not support an explicit indentation.
        text.add("  \(name): |\n    \(lines[0].drop { $0 == " " || $0 == "\t" })\n")
        for line in lines.dropFirst() { text.add("    \(line)\n") }
    }

    /// A YAML string in double quotes, escaped as by ``PrintableText``.
    private static func quoted(_ text: String) -> String {
        "\"" + PrintableText.line(text).replacing(scalar: "\\", with: "\\\\").replacing(scalar: "\"", with: "\\\"")
            + "\""
    }
}

enum JSONForm {
    static func writeLines(_ journal: some RecordSource, to pieces: inout ResultFile.Pieces) {
        var text = pieces
        let encoder = RunRecord.encoder
        journal.each { record in
            guard let line = try? encoder.encode(record) else { return }
            text.add(line)
            text.add("\n")
        }
        pieces = text
    }

    static func write(_ journal: some RecordSource, to pieces: inout ResultFile.Pieces) {
        var text = pieces
        let encoder = RunRecord.encoder
        func encoded(_ value: some Encodable) -> [UInt8] { (try? encoder.encode(value)) ?? Array("null".utf8) }
        text.add("{\"tool\":\"peerlab\",\n\"batch\":")
        text.add(encoded(journal.header))
        text.add(",\n\"complete\":\(journal.isEnded),\n\"totals\":")
        text.add(encoded(journal.totals))
        text.add(",\n\"records\":[")
        var isFirst = true
        journal.each { record in
            text.add(isFirst ? "\n" : ",\n")
            text.add(encoded(record))
            isFirst = false
        }
        text.add("\n]}\n")
        pieces = text
    }
}
