import Kernel
import Runner

/// JUnit XML: a suite for each run, a test case for each case.
enum JUnit {
    static func write(_ journal: some RecordSource, to pieces: inout ResultFile.Pieces) {
        var text = pieces
        var numbers = Numbers()
        journal.each { numbers.add($0) }
        text.add("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        text.add("<testsuites name=\"peerlab\" \(numbers.attributes)>\n")
        let folder = journal.header.directory
        journal.each { add($0, in: folder, &text) }
        text.add("</testsuites>\n")
        pieces = text
    }

    private struct Numbers {
        var tests = 0
        var failures = 0
        var errors = 0
        var skipped = 0
        var wall: UInt64 = 0

        mutating func add(_ record: RunRecord) {
            wall &+= record.wall
            for one in JUnit.tests(of: record) {
                tests += 1
                switch one.kind {
                case .failure: failures += 1
                case .error: errors += 1
                case .skipped: skipped += 1
                case .none: break
                }
            }
        }

        /// The schema allows at most three decimals here.
        var attributes: String {
            "tests=\"\(tests)\" failures=\"\(failures)\" errors=\"\(errors)\" time=\"\(JUnit.seconds(wall).dropLast(3))\""
        }
    }

    private enum Kind: String {
        case failure, error, skipped, none
    }

    private struct Test {
        let name: String
        let kind: Kind
        let message: String
        let text: String
        var log: [String]
        let wall: UInt64
    }

    /// The test cases of a run; another one for the run itself where it ended differently than its cases.
    private static func tests(of record: RunRecord) -> [Test] {
        var tests: [Test] = []
        if let result = record.result, result.skipped.isEmpty {
            tests = result.cases.map { one in
                let kind: Kind =
                    switch one.verdict {
                    case .pass: .none
                    case .fail, .unexpectedPass: .failure
                    // JUnit knows no expected failures; pytest writes its own as skipped too. Of a case that was not
                    // run, the suite's failed test case has the reason.
                    case .skip, .notRun, .notSelected, .expectedFailure: .skipped
                    case .interrupted: .error
                    }
                let text =
                    (one.further ?? []).map(\.line) + [one.error?.traceback ?? ""].filter { !$0.isEmpty }
                    + (one.kernel?.shown ?? [])
                let known = one.verdict == .expectedFailure ? "expected to fail: \(one.expected_failure ?? ""): " : ""
                return Test(
                    name: one.name, kind: kind, message: known + (one.message ?? ""),
                    text: text.joined(separator: "\n"),
                    log: (kind == .none ? (one.further ?? []).map(\.line) : []) + one.log, wall: one.duration_ns)
            }
        }
        let isTold = tests.contains { $0.kind == .failure || $0.kind == .error }
        let kind: Kind =
            switch record.outcome {
            case .pass: .none
            case .fail, .unexpectedPass: .failure
            case .skip, .expectedFailure: .skipped
            default: .error
            }
        if tests.isEmpty || (!record.outcome.isGood && !isTold) {
            tests.append(
                Test(
                    name: "the run", kind: kind, message: TestLine.reason(record),
                    text: (record.trace + [record.errors ?? ""]).joined(separator: "\n"), log: [], wall: record.wall))
        }
        return tests
    }

    private static func add(_ record: RunRecord, in folder: String, _ text: inout ResultFile.Pieces) {
        var numbers = Numbers()
        numbers.add(record)
        text.add(
            "  <testsuite name=\"\(escaped(record.id))\" \(numbers.attributes) skipped=\"\(numbers.skipped)\" timestamp=\"\(escaped(String(record.started.dropLast())))\" "
                + "hostname=\"\(escaped(record.result?.environment["host"] ?? "localhost"))\">\n    <properties>\n")
        var properties = record.settings.map { ("set.\($0.key)", $0.value) } + [("sha256", record.hash)]
        properties += [("outcome", record.outcome.rawValue), ("flaky", String(record.flaky))]
        if let path = record.record { properties.append(("record", path)) }
        if let result = record.result {
            properties += [("bench", result.bench), ("simulated", String(result.simulated))]
            properties += result.options.map { ("option.\($0.key)", $0.value) }
            properties += result.environment.map { ("environment.\($0.key)", $0.value) }
        }
        for (name, value) in properties.sorted(by: { $0.0 < $1.0 }) {
            text.add("      <property name=\"\(escaped(name))\" value=\"\(escaped(value))\"/>\n")
        }
        text.add("    </properties>\n")
        let all = tests(of: record)
        // A file of the run is named by the test case that tells of its failure, as Jenkins and GitLab look for it.
        let told = all.firstIndex { $0.kind == .failure || $0.kind == .error } ?? 0
        for (index, test) in all.enumerated() {
            var test = test
            if index == told, let mark = record.record.flatMap({ attachment($0, in: folder) }) { test.log.append(mark) }
            add(test, of: record, before: record.flaky && index == 0 ? record.attempts.dropLast() : [], &text)
        }
        text.add("  </testsuite>\n")
    }

    /// `before`: failed attempts of a run that passed in the end.
    private static func add(
        _ test: Test, of record: RunRecord, before: ArraySlice<Attempt>, _ text: inout ResultFile.Pieces
    ) {
        text.add(
            "    <testcase classname=\"\(escaped(record.id))\" name=\"\(escaped(test.name))\" time=\"\(seconds(test.wall))\""
        )
        guard test.kind != .none || !test.log.isEmpty || !before.isEmpty else { return text.add("/>\n") }
        text.add(">\n")
        for attempt in before {
            text.add(
                "      <flakyFailure type=\"\(attempt.outcome.rawValue)\" message=\"\(escaped(attempt.reason ?? ""))\"/>\n"
            )
        }
        switch test.kind {
        case .none: break
        case .skipped: text.add("      <skipped message=\"\(escaped(test.message))\"/>\n")
        case .failure, .error:
            text.add(
                "      <\(test.kind.rawValue) message=\"\(escaped(test.message))\" type=\"\(record.outcome.rawValue)\">"
                    + "\(escaped(test.text))</\(test.kind.rawValue)>\n")
        }
        if !test.log.isEmpty {
            text.add("      <system-out>\(escaped(test.log.joined(separator: "\n")))</system-out>\n")
        }
        text.add("    </testcase>\n")
    }

    /// The line that names a file of a batch begun in `folder`; nil for a path that would end it early.
    private static func attachment(_ path: String, in folder: String) -> String? {
        let whole = path.hasPrefix("/") ? path : "\(folder == "/" ? "" : folder)/\(path)"
        let isPlain = whole.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        return isPlain && whole.firstRange(of: "]]") == nil ? "[[ATTACHMENT|\(whole)]]" : nil
    }

    static func seconds(_ nanoseconds: UInt64) -> String {
        let micros = nanoseconds / 1000
        let rest = String(micros % 1_000_000)
        return "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - rest.count) + rest
    }

    private static func escaped(_ text: String) -> String { XMLText.escaped(text) }
}
