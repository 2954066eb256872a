import Bindings
import Kernel
import LuaKit

/// Receives the progress of a role's cases.
protocol CaseObserver: AnyObject {
    /// The case at this index begins.
    func begins(_ index: Int)
    /// New findings of the running case since the last call; when it fails, with its first failure.
    func found(_ news: CaseResult)
    /// A case of this role has ended.
    func ended(_ one: CaseResult)
    /// The error for a case that does not run.
    func notRun(because why: LuaState.Stop) -> ErrorValue
}

/// Runs the cases of a scenario for one role, in one Lua state. A scenario without roles has one of these.
final class RoleRun {
    let script: ScenarioScript
    /// Receives the progress; owns this.
    unowned var observer: any CaseObserver
    /// The connection to the other roles; nil without any.
    private(set) var rendezvous: RoleRendezvous?
    /// Names of the cases with ``LuaState/era`` 1, 2, ...; 0 is before the first case.
    private(set) var caseNames: [String] = []
    /// Objects that have stayed open over at least one case's end, with the first such case.
    private var openAfter: [String: String] = [:]
    /// Errors of finalizers that belong to no case, or to one that had ended.
    var strayFailures: [ErrorValue] = []
    /// The time limit as text; nil for none.
    private(set) var limit: String?

    private var bench: Bench { script.context.bench }
    var host: Host { script.host }
    var state: LuaState { script.state }

    init(_ script: ScenarioScript, observer: any CaseObserver) {
        self.script = script
        self.observer = observer
        let context = script.context
        limit = context.timeLimit ?? context.limits.timeout.map { Limits.text($0, isScenarios: false) }
        state.raised = { [weak self] error in self?.failed(error) }
        host.hasNews = { [weak self] in self?.tellFindings() }
        host.foundWrong = { [weak self] in self?.note(.wrong($0)) }
    }

    /// Nanoseconds by the bench's clock.
    var now: UInt64 { host.realKernel.monotonic() }

    /// Joins the scenario as a role. `isVirtual`: the roles share a simulated clock, and run in turn.
    func join(_ role: String, _ roles: RoleState, isVirtual: Bool) -> RoleRendezvous {
        let rendezvous = RoleRendezvous(
            role, roles, host.realKernel, isSimulated: isVirtual,
            isInterrupted: { [unowned state] in state.isInterrupted })
        self.rendezvous = rendezvous
        host.rendezvous = rendezvous
        return rendezvous
    }

    /// Applies the limits and the effects that the scenario declares.
    func hold(to scenario: Scenario) throws(ErrorValue) {
        if let timeout = scenario.limits.timeout, timeout <= script.context.limits.timeout ?? .infinity {
            limit = Limits.text(timeout, isScenarios: true)
        }
        try script.hold(to: scenario)
    }

    /// Runs all cases, in their order.
    func run(_ cases: [Scenario.Case], _ values: [String: LuaValue]) {
        caseNames = cases.map(\.name)
        for (index, one) in cases.enumerated() {
            rendezvous?.index = index
            state.era = index + 1
            guard script.context.cases?.selects(one.name) ?? true else {
                observer.ended(CaseResult(notSelected: one.name))
                continue
            }
            if let why = state.stop {
                record(one.name, observer.notRun(because: why), since: now)
                continue
            }
            observer.begins(index)
            run(one, values)
        }
    }

    private func run(_ one: Scenario.Case, _ values: [String: LuaValue]) {
        note(.begins(one.name))
        let start = now
        noteOpen()
        var failure: ErrorValue?
        do throws(ErrorValue) {
            try state.call(one.function, module: "case", [.table(values)])
        } catch {
            failure = error
        }
        let end = now
        // Closes unreferenced objects now, so that the next case finds the devices free. With roles, others may still
        // use them: then they are closed once all roles have ended.
        if rendezvous == nil { state.collect() }
        record(one.name, failure, since: start, until: end)
        if rendezvous != nil { state.collect() }
        noteOpen(after: one.name)
    }

    /// Skipped for roles that share a simulated kernel: it cannot tell whose objects are open.
    private func noteOpen(after name: String? = nil) {
        guard rendezvous == nil || !bench.isSimulated else { return }
        let open = Set(host.realKernel.open)
        openAfter = openAfter.filter { open.contains($0.key) }
        guard let name else { return }
        for object in open where openAfter[object] == nil { openAfter[object] = name }
    }

    /// Passes on the result of a case, or of another step that is judged as one, with all its findings.
    func record(_ name: String, _ first: ErrorValue?, since start: UInt64, until end: UInt64? = nil) {
        let (error, further) = failures(first)
        let verdict: Verdict
        switch error?.kind {
        case nil: verdict = .pass
        case .skip: verdict = .skip
        case .interrupt: verdict = .interrupted
        case .notRun: verdict = .notRun
        default: verdict = .fail
        }
        var one = CaseResult(name: name, verdict: verdict, duration_ns: (end ?? now) &- start)
        one.message = error.map { verdict == .skip ? $0.message : $0.line }
        if verdict == .fail { one.error = error.map(ErrorFields.init) }
        one.further = further
        one.log = host.log
        if verdict == .fail {
            one.log += openAfter.sorted { $0.key < $1.key }.map {
                "open before it began, as after the case '\($0.value)': \($0.key)"
            }
        }
        one.metrics = host.metrics
        one.distributions = host.distributions
        one.evidence = host.evidence
        one.warnings = host.warnings.isEmpty ? nil : host.warnings
        one.kernel = KernelFindings(expected: host.expectedKernelLog, allowed: host.allowedKernelLog)
        host.clearFindings()
        observer.ended(one)
    }

    // MARK: While a case runs

    private func note(_ note: CaseNote) {
        if let text = note.text { (host.realKernel as? TracingKernel)?.note(text) }
        script.context.sinks.notes(note)
    }

    /// Called before anything that the error leaves open is closed: closing may crash the kernel.
    private func failed(_ error: ErrorValue) {
        guard error.kind != .skip else { return }
        if let wrong = error.wrong { note(.wrong(wrong)) }
        note(.fails(error))
        if error.kind != .interrupt { tellFindings(error) }
    }

    /// Passes on new findings of the case, so that they survive the process; `error` where that fails it.
    private func tellFindings(_ error: ErrorValue? = nil) {
        guard script.context.isObserved, state.era > 0 else { return }
        var one = CaseResult(name: caseNames[state.era - 1], verdict: error == nil ? .pass : .fail, duration_ns: 0)
        if let error {
            one.message = error.line
            one.error = ErrorFields(error)
        }
        host.takeNews(&one.log, &one.metrics, &one.distributions)
        if error != nil { one.evidence = host.evidence }
        observer.found(one)
    }
}
