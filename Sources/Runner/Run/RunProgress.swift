public import LuaKit

/// What is known of a run that goes on.
public struct RunProgress: Sendable {
    /// What ended it before its end.
    public struct Death: Sendable {
        /// The kind of the error that the case has of it.
        public var kind: ErrorKind
        /// Why, in a line, about the case that ran.
        public var message: String
        /// How that case ended.
        public var verdict: Verdict
        /// "FILE:LINE: " of the script's line that ran; empty where that is not known.
        public var position: String
        /// What the kernel said of it.
        public var kernel: KernelFindings?

        /// A death.
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

    /// What was told last of the whole; without its cases.
    private var result: ScenarioResult?
    /// Cases that have ended.
    private var cases: [CaseResult] = []
    private var names: [String] = []
    private var running: Int?
    /// What it has found so far.
    private var found: CaseResult?
    /// How many cases have begun.
    private var begun = 0
    /// Whether all was told.
    public private(set) var isOver = false

    /// Nothing was told yet.
    public init() {}

    /// How many cases have ended.
    public var ended: Int { cases.count }

    /// Takes what is told.
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
            found = nil
            if let index = running, names[index] == one.name { running = nil }
        case .over(let result):
            self.result = result
            isOver = true
        }
    }

    /// Whether a case runs.
    public var isInCase: Bool { running != nil }

    /// "case 'NAME'" of the one that runs, or words for what comes before or behind one.
    public var stage: String {
        if let running { return "case '\(names[running])'" }
        if names.isEmpty { return result?.name ?? "nothing" }
        return begun == 0 ? "what comes before the first case" : "what comes behind case '\(names[begun - 1])'"
    }

    /// The whole result, of a run that is over.
    public var whole: ScenarioResult? {
        guard isOver, var result else { return nil }
        result.cases = cases
        return result
    }

    /// The result of a run that ended before its end: what had ended stays, what ran ended so, the rest was not run. nil where
    /// nothing was told.
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
            // What failed first is the failure.
            one.further = (one.further ?? []) + [FurtherFailure("while closing", error)]
        } else {
            one.message = error.line
            if death.verdict == .fail { one.error = ErrorFields(error) }
        }
        one.kernel = death.kernel
        result.cases.append(one)
        for name in names.dropFirst(begun) {
            var rest = CaseResult(name: name, verdict: .notRun, duration_ns: 0)
            rest.message = "not run: \(death.message)"
            result.cases.append(rest)
        }
        result.verdict = death.verdict
        return result
    }
}

extension CaseResult {
    /// Adds what was found later.
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
