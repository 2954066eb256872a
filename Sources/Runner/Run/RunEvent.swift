import Bindings
public import LuaKit
import Synchronization

/// What becomes of a run, told while it goes on, so that whatever ends its process takes nothing of it along.
public enum RunEvent: Codable, Sendable {
    /// It begins; without cases.
    case begins(ScenarioResult)
    /// It is loaded: what is known of it now, without cases, and the names of its cases in their order.
    case loaded(ScenarioResult, cases: [String])
    /// The case of that place in the order begins.
    case starts(Int)
    /// What the case that runs has found since that was told last; once it fails, with its first failure.
    case found(CaseResult)
    /// A case has ended.
    case ended(CaseResult)
    /// All is told: its result, without cases.
    case over(ScenarioResult)
}

/// What is known of a run that goes on.
public struct RunProgress: Sendable {
    /// What ended it before its end.
    public struct Death: Sendable {
        /// "kernel_died", "timeout", "memory", ...
        public var kind: String
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
            kind: String, _ message: String, verdict: Verdict = .fail, position: String = "",
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

    /// The name of the case that runs; in words where none does.
    public var place: String {
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
            name: running.map { names[$0] } ?? (names.isEmpty ? result.name : place), verdict: death.verdict,
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

extension ScenarioResult {
    /// Of a file that could not be run.
    public init(unusable file: String, on bench: Bench, because error: ErrorValue) {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        self.init(
            file: file, name: name, verdict: .fail, bench: bench.kind, bench_description: bench.description,
            simulated: bench.isSimulated)
        sandbox = bench.sandbox
        unusable = error.line
    }

    /// Of a file that was not begun, as the run of another one, on the same bench, was ended.
    public init(notRun file: String, like other: ScenarioResult, because death: RunProgress.Death) {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        self.init(
            file: file, name: name, verdict: .notRun, bench: other.bench, bench_description: other.bench_description,
            simulated: other.simulated)
        var one = CaseResult(name: name, verdict: .notRun, duration_ns: 0)
        one.message = "not run: \(death.message)"
        cases = [one]
    }
}

extension ScenarioRun {
    /// Keeps a case's end, and tells it.
    func add(_ one: CaseResult) {
        result.cases.append(one)
        tell(.ended(one))
        for line in Report.lines(one, simulated: bench.isSimulated) { emit(line) }
    }

    /// Of a case whose turn does not come. Where none tells yet what stopped the scenario, the first of them does.
    func notRun(because why: LuaState.Stop) -> ErrorValue {
        let isFollower = seat != nil && crew == nil && link == nil
        let kinds: [LuaState.Stop: (kind: String, text: String)] = [
            .interrupt: ("interrupt", "interrupted"), .timeout: ("timeout", "its time is over"),
            .output: ("output", "it printed more than it may"),
        ]
        let last = result.cases.last
        // What stopped it may have come while the last case was closed.
        let told = ([last?.error] + (last?.further ?? []).map(\.error)).map { $0?.kind }
        let isTold =
            isFollower || last?.verdict == .notRun || last?.verdict == .interrupted
            || told.contains { $0 == kinds[why]?.kind }
        if !isTold, let (kind, text) = kinds[why] { return ErrorValue(kind: kind, text) }
        let reason = why == .interrupt ? "interrupted" : "the scenario was stopped before"
        return ErrorValue(kind: "not_run", "not run: \(reason)")
    }

    func tell(_ event: RunEvent) {
        deadline?.take(event)
        // Threads of roles tell, too.
        telling.withLock { _ in told?(event) }
    }

    /// Tells what the case has found since it was told last, so that it outlives the process; `error` where that fails it.
    func tellFindings(_ error: ErrorValue? = nil) {
        guard told != nil || deadline != nil, state.era > 0 else { return }
        var one = CaseResult(name: caseNames[state.era - 1], verdict: error == nil ? .pass : .fail, duration_ns: 0)
        if let error {
            one.message = error.line
            one.error = ErrorFields(error)
        }
        host.takeNews(&one.log, &one.metrics, &one.distributions)
        if error != nil { one.evidence = host.evidence }
        if let seat, crew == nil, link == nil { one = one.marked(seat.role) }
        tell(.found(one))
    }
}
