import Bindings
import FoundationEssentials
import Kernel

/// Results as text and as JSON.
public enum Report {
    /// Lines of one case.
    public static func lines(_ one: CaseResult, simulated: Bool) -> [String] {
        let mark =
            switch one.verdict {
            case .pass: "ok   "
            case .fail: "FAIL "
            case .skip: "skip "
            case .interrupted: "stop "
            case .notRun, .notSelected: "not run "
            case .expectedFailure: "xfail"
            case .unexpectedPass: "XPASS"
            }
        // There is nothing more to say of it.
        if one.verdict == .notSelected { return ["  \(mark) \(PrintableText.line(one.name))  (\(one.message ?? ""))"] }
        var lines = [
            "  \(mark) \(PrintableText.line(one.name))  [\(duration(one.duration_ns))\(simulated ? " virtual" : "")]"
        ]
        if let message = one.message { lines += told(message) }
        if let reason = one.expected_failure, one.verdict == .expectedFailure {
            lines += told("expected to fail: \(reason)")
        }
        if let request = one.error?.request, !request.isEmpty { lines.append("        request: \(request)") }
        for failure in one.further ?? [] { lines += told(failure.line) }
        lines += (one.warnings ?? []).map { "        WARNING: " + PrintableText.line($0) }
        lines += one.log.flatMap { PrintableText.lines($0) }.map { "        | \($0)" }
        lines += one.metrics.map { metric in
            "        \(PrintableText.line(metric.label)) = \(PrintableText.line(Unit(metric.unit).amount(metric.value)))"
                + (simulated ? "  [simulated]" : "")
        }
        lines += (one.kernel?.shown ?? []).map { "        \(PrintableText.line($0))" }
        return lines
    }

    /// Indents a message. The first line is ours; later ones come from a script or a peer and could look like a
    /// report's, so they are marked.
    private static func told(_ message: String) -> [String] {
        PrintableText.lines(message).enumerated().map { ($0.offset == 0 ? "        " : "        | ") + $0.element }
    }

    /// The lines that a report lacks: of the run at `index`, of which `reported` cases were printed, and of the runs
    /// after it, which were not begun.
    public static func rest(of results: [ScenarioResult], from index: Int, reported: Int) -> [String] {
        let cut = results[index]
        var lines = cut.cases.dropFirst(reported).flatMap { Report.lines($0, simulated: cut.simulated) }
        for rest in results.dropFirst(index + 1) {
            lines.append("scenario: \(rest.name)")
            lines += rest.cases.flatMap { Report.lines($0, simulated: rest.simulated) }
        }
        return lines + [Report.summary(results)]
    }

    /// Lines after the cases: injected errors, failures of closing, objects left open.
    public static func ending(_ result: ScenarioResult) -> [String] {
        var lines: [String] = []
        if let tph = result.tph, result.skipped.isEmpty { lines.append("  \(tph)") }
        if result.calls_refused > 0 {
            let calls = result.calls_refused == 1 ? "1 call was" : "\(result.calls_refused) calls were"
            lines.append("  \(calls) refused on purpose")
        }
        for fault in result.faults_unused { lines.append("  never refused: \(fault)") }
        for call in result.not_modelled { lines.append("  not modelled: \(call.call), \(call.count) times") }
        // Finalizers' failures are reported by a case already.
        let told = Set(
            result.cases.flatMap { one in (one.message.map { [$0] } ?? []) + (one.further ?? []).map(\.message) })
        for failure in result.collecting where !told.contains(failure) {
            lines.append("  while closing what the script left: \(failure)")
        }
        if result.left_open.isEmpty {
            lines.append("  nothing left open")
        } else {
            lines.append("  LEFT OPEN: " + result.left_open.joined(separator: ", "))
        }
        let whole = (result.expected_failures ?? []).first { $0.name == nil }
        if let whole, [.expectedFailure, .unexpectedPass].contains(result.verdict) {
            let word = result.verdict == .expectedFailure ? "expected to fail" : "EXPECTED TO FAIL, BUT PASSED"
            lines.append("  \(word): \(whole.reason)")
        }
        return lines
    }

    /// The last line.
    public static func summary(_ results: [ScenarioResult]) -> String {
        let cases = results.flatMap { result in
            (result.skipped.isEmpty ? [] : [Verdict.skip]) + result.cases.map(\.verdict)
        }
        func count(_ verdict: Verdict) -> Int { cases.count { $0 == verdict } }
        var text = "\(count(.pass)) passed, \(count(.fail)) failed, \(count(.skip)) skipped"
        if count(.expectedFailure) > 0 { text += ", \(count(.expectedFailure)) failed as expected" }
        let mended = results.count {
            $0.verdict == .unexpectedPass && !$0.cases.map(\.verdict).contains(.unexpectedPass)
        }
        let passes = count(.unexpectedPass) + mended
        if passes > 0 { text += ", \(passes) expected to fail, but passed" }
        if count(.notRun) > 0 { text += ", \(count(.notRun)) not run" }
        if count(.notSelected) > 0 { text += ", \(count(.notSelected)) not selected and not run" }
        if results.contains(where: { $0.verdict == .interrupted }) { text += ", interrupted" }
        let leaks = results.count { !$0.left_open.isEmpty }
        if leaks > 0 { text += ", \(leaks) left something open" }
        let unusable = results.count { $0.unusable != nil }
        if unusable > 0 { text += ", \(unusable) could not be run" }
        return text
    }

    private static func duration(_ nanoseconds: UInt64) -> String {
        if nanoseconds < 1_000_000 { return "\(nanoseconds / 1000) us" }
        if nanoseconds < 10_000_000_000 { return "\(nanoseconds / 1_000_000) ms" }
        return "\(nanoseconds / 1_000_000_000) s"
    }

    /// The results in a JSON document; nil where it is not one of ours.
    public static func results(in bytes: [UInt8]) -> [ScenarioResult]? {
        try? JSONDecoder().decode(Document.self, from: Data(bytes)).results
    }

    private struct Document: Codable {
        let tool: String
        let version: String
        let results: [ScenarioResult]
    }

    /// One JSON document with all results.
    public static func json(_ results: [ScenarioResult], version: String) throws -> [UInt8] {
        try JSONText(pretty: true).encode(Document(tool: "peerlab", version: version, results: results)) + [0x0a]
    }
}
