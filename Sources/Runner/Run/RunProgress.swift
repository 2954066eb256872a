public import LuaKit

/// The state of a run, built from its events.
public struct RunProgress: Sendable {
    /// Why a run ended early.
    public struct Death: Sendable {
        /// The kind of the error that the running case gets.
        public var kind: ErrorKind
        /// The message for the running case, one line.
        public var message: String
        /// The verdict of the running case.
        public var verdict: Verdict
        /// "FILE:LINE: " of the script's running line; empty where unknown.
        public var position: String
        /// The kernel's last messages.
        public var kernel: KernelFindings?

        /// From its parts.
        public init(
            kind: ErrorKind, _ message: String, verdict: Verdict = .fail, position: String = "",
            kernel: KernelFindings? = nil
        ) {
            self.kind = kind
            self.message = message
            self.verdict = verdict
            self.position = position
            self.kernel = kernel
        }
    }

    /// The latest result passed on, without cases.
    private var result: ScenarioResult?
    /// Cases that have ended.
    private var cases: [CaseResult] = []
    private var names: [String] = []
    private var running: Int?
    /// Findings of the running case so far.
    private var found: CaseResult?
    /// Number of cases that have begun.
    private var begun = 0
    /// Whether the run has ended.
    public private(set) var isOver = false

    /// Of a run without events so far.
    public init() {}

    /// Number of cases that have ended.
    public var ended: Int { cases.count }

    /// Adds an event.
    public mutating func take(_ event: RunEvent) {
        switch event {
        case .begins(let result):
            self = RunProgress()
            self.result = result
        case .loaded(let result, let names):
            self.result = result
            self.names = names
        case .starts(let index):
            guard names.indices.contains(index) else { return }
            running = index
            found = nil
            begun = index + 1
        case .found(let one):
            if found == nil { found = one } else { found?.add(one) }
        case .ended(let one):
            cases.append(one)
            // One that is not selected ends without a beginning.
            begun = min(max(begun, cases.count), names.count)
            found = nil
            if let index = running, names[index] == one.name { running = nil }
        case .over(let result):
            self.result = result
            isOver = true
        }
    }

    /// Whether a case runs.
    public var isInCase: Bool { running != nil }

    /// "case 'NAME'" of the running case, or words for the time before or after one.
    public var stage: String {
        if let running { return "case '\(names[running])'" }
        if names.isEmpty { return result?.name ?? "nothing" }
        return begun == 0 ? "what comes before the first case" : "what comes behind case '\(names[begun - 1])'"
    }

    /// The whole result of a run that has ended; nil otherwise.
    public var whole: ScenarioResult? {
        guard isOver, var result else { return nil }
        result.cases = cases
        return result
    }

    /// The result of a run that ended early: finished cases stay, the running one gets the death's verdict, the others
    /// are not run. nil where no event came.
    public func ended(by death: Death) -> ScenarioResult? {
        guard var result else { return nil }
        result.cases = cases
        var one = CaseResult(
            name: running.map { names[$0] } ?? (names.isEmpty ? result.name : stage), verdict: death.verdict,
            duration_ns: 0)
        if let found { one.add(found) }
        var error = ErrorValue(kind: death.kind, death.message)
        error.position = death.position
        if one.error != nil {
            // The first failure stays the case's failure.
            one.further = (one.further ?? []) + [FurtherFailure("while closing", error)]
        } else {
            one.message = error.line
            if death.verdict == .fail { one.error = ErrorFields(error) }
        }
        one.kernel = death.kernel
        one.judge(result.expected_failures ?? [], isCase: running != nil || names.isEmpty)
        result.cases.append(one)
        for name in names.dropFirst(begun) {
            var rest = CaseResult(name: name, verdict: .notRun, duration_ns: 0)
            rest.message = "not run: \(death.message)"
            result.cases.append(rest)
        }
        result.verdict = one.verdict == .expectedFailure ? result.judged : death.verdict
        return result
    }
}

extension CaseResult {
    /// Adds later findings.
    fileprivate mutating func add(_ later: CaseResult) {
        if error == nil, let first = later.error {
            (verdict, message, error) = (later.verdict, later.message, first)
        }
        log += later.log
        metrics += later.metrics
        distributions += later.distributions
        evidence += later.evidence
        warnings = (warnings ?? []) + (later.warnings ?? [])
        if warnings == [] { warnings = nil }
    }
}
