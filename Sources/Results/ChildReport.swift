import FoundationEssentials
public import Runner

/// What a run's process tells the batch.
public struct ChildReport: Codable, Sendable {
    /// How the scenario ended; nil where its file or options are wrong.
    public var outcome: Outcome?
    /// Why, in one line.
    public var reason: String?
    /// What it reported.
    public var result: ScenarioResult?
    /// The last calls.
    public var trace: [String] = []

    /// Of a scenario that was run.
    public init(_ result: ScenarioResult, trace: [String]) {
        let outcome = ChildReport.outcome(of: result)
        self.outcome = outcome
        reason = ChildReport.reason(of: result)
        self.trace = outcome.isGood ? [] : trace
        self.result = result
    }

    /// Of one that another batch has run.
    public init(_ record: Record) {
        outcome = record.outcome == .error ? nil : record.outcome
        reason = record.reason
        trace = record.trace
        result = record.result
    }

    /// Of one that was not.
    public init(unusable reason: String) { self.reason = reason }

    private static func outcome(of result: ScenarioResult) -> Outcome {
        switch result.verdict {
        case .pass: .pass
        case .skip: .skip
        case .interrupted: .interrupted
        case .fail:
            result.cases.contains { $0.verdict == .fail && $0.message?.contains("not enough memory") == true }
                ? .memory : .fail
        }
    }

    private static func reason(of result: ScenarioResult) -> String? {
        if let reason = result.skipped.first { return reason }
        let bad = result.cases.first { $0.verdict == .fail || $0.verdict == .interrupted }
        if let bad {
            let further = (bad.further ?? []).map { "; \($0.line)" }.joined()
            return "\(bad.name): \(bad.message ?? bad.verdict.rawValue)" + further
        }
        if result.verdict == .fail, result.left_open.isEmpty, let failure = result.collecting.first { return failure }
        if !result.left_open.isEmpty { return "left open: \(result.left_open.joined(separator: ", "))" }
        return result.cases.first { $0.verdict == .skip }?.message
    }

    /// As it goes through the pipe.
    public var bytes: [UInt8] { (try? Record.encoder.encode(self)) ?? [] }

    /// Reads it; nil where it is cut or none.
    public init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, let report = try? JSONDecoder().decode(ChildReport.self, from: Data(bytes)) else {
            return nil
        }
        self = report
    }
}
