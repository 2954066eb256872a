import FoundationEssentials
import LuaKit
public import Runner

/// The report of a run's process at its end, for the batch.
public struct ChildReport: Codable, Sendable {
    /// How the scenario ended; nil where its file or options are wrong.
    public var outcome: Outcome?
    /// Why, in one line.
    public var reason: String?
    /// What it reported.
    public var result: ScenarioResult?
    /// The last calls.
    public var trace: [String] = []

    /// For a scenario that was run.
    public init(_ result: ScenarioResult, trace: [String]) {
        let outcome = ChildReport.outcome(of: result)
        self.outcome = outcome
        reason = ChildReport.reason(of: result)
        self.trace = outcome.isGood ? [] : trace
        self.result = result
    }

    /// For a run of another batch.
    public init(_ record: RunRecord) {
        outcome = record.outcome == .error ? nil : record.outcome
        reason = record.reason
        trace = record.trace
        result = record.result
    }

    /// For a file that could not be run.
    public init(unusable reason: String) { self.reason = reason }

    private static func outcome(of result: ScenarioResult) -> Outcome {
        switch result.verdict {
        case .pass: return .pass
        case .skip: return .skip
        case .interrupted: return .interrupted
        case .notRun, .notSelected: return .notRun
        case .expectedFailure: return .expectedFailure
        case .unexpectedPass: return .unexpectedPass
        case .fail:
            switch result.cases.first(where: { $0.verdict == .fail })?.error?.kind {
            case .memory: return .memory
            case .timeout: return .timeout
            default: return .fail
            }
        }
    }

    private static func reason(of result: ScenarioResult) -> String? {
        if let reason = result.skipped.first { return reason }
        let worst: [Verdict] = [.interrupted, .fail, .unexpectedPass, .expectedFailure]
        let bad = worst.lazy.compactMap { verdict in result.cases.first { $0.verdict == verdict } }.first
        if let bad, !(bad.verdict == .expectedFailure && result.verdict != .expectedFailure) {
            let further = (bad.further ?? []).map { "; \($0.line)" }.joined()
            let expected = bad.verdict == .expectedFailure ? "; expected to fail: \(bad.expected_failure ?? "")" : ""
            return "\(bad.name): \(bad.message ?? bad.verdict.rawValue)" + further + expected
        }
        if result.verdict == .unexpectedPass,
            let whole = (result.expected_failures ?? []).first(where: { $0.name == nil })
        {
            return "expected to fail, but passed; it was expected because: \(whole.reason)"
        }
        if result.verdict == .fail, result.left_open.isEmpty, let failure = result.collecting.first { return failure }
        if !result.left_open.isEmpty { return "left open: \(result.left_open.joined(separator: ", "))" }
        if !result.cases.isEmpty, result.notSelected == result.cases.count { return CaseSelection.reasonForAll }
        return result.cases.first { $0.verdict == .skip || $0.verdict == .notRun }?.message
    }
}

/// A line from a run's process to the batch: an event of the run or, at the end, its report.
public struct ChildMessage: Codable, Sendable {
    /// An event of the run.
    var event: RunEvent?
    /// "FILE:LINE: " of a script that does not stop. CLuaShims writes such a line.
    var position: String?
    /// The report, in the last line. It has no cases, as events have brought them.
    var report: ChildReport?

    /// With an event.
    public init(_ event: RunEvent) { self.event = event }

    /// With the report of a run whose cases were sent as events.
    public init(_ report: ChildReport) {
        self.report = report
        self.report?.result?.cases = []
    }

    /// The message as a line.
    public var line: [UInt8] { ((try? RunRecord.encoder.encode(self)) ?? []) + [0x0a] }

    /// All lines for a report whose cases were not sent as events.
    public static func lines(_ report: ChildReport) -> [UInt8] {
        (report.result?.cases ?? []).flatMap { ChildMessage(.ended($0)).line } + ChildMessage(report).line
    }
}

/// Everything that a run's process has sent.
public struct ChildStory: Sendable {
    /// The run's progress.
    public private(set) var progress = RunProgress()
    /// Its report; nil where it ended before that.
    public private(set) var report: ChildReport?
    private var position = ""

    /// Parses the bytes from the pipe. A line that is cut or malformed is left out.
    public init(_ bytes: [UInt8]) {
        var cases: [CaseResult] = []
        for line in bytes.split(separator: 0x0a) {
            guard let message = try? JSONDecoder().decode(ChildMessage.self, from: Data(line)) else { continue }
            if let event = message.event { progress.take(event) }
            if case .ended(let one)? = message.event { cases.append(one) }
            position = message.position ?? position
            report = message.report ?? report
        }
        report?.result?.cases = cases
    }

    /// The report of a process that ended before it sent one, with the cases that had ended. nil where it sent nothing.
    public func report(endedBy death: RunProgress.Death) -> ChildReport? {
        var death = death
        death.position = position
        return progress.ended(by: death).map { ChildReport($0, trace: []) }
    }
}
