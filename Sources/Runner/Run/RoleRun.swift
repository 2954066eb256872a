import Bindings
import Kernel
import LuaKit

/// Hears of a role's cases.
protocol CaseObserver: AnyObject {
    /// The case at this index begins.
    func begins(_ index: Int)
    /// What the case that runs has found since that was told last; once it fails, with its first failure.
    func found(_ news: CaseResult)
    /// A case of this role has ended.
    func ended(_ one: CaseResult)
    /// What to say of a case whose turn does not come.
    func notRun(because why: LuaState.Stop) -> ErrorValue
}

/// The cases of a scenario as one role runs them, in one Lua state; of one without roles all there is.
final class RoleRun {
    let script: ScenarioScript
    /// Who hears of its cases; owns this.
    unowned var observer: any CaseObserver
    /// Where it meets the other roles; nil without any.
    private(set) var rendezvous: RoleRendezvous?
    /// What ran in ``LuaState/era`` 1, 2, ...; 0 is before the first case.
    private(set) var caseNames: [String] = []
    /// Of what was open at every case's end since, and is: the first of these cases.
    private var openAfter: [String: String] = [:]
    /// What finalizers raised that belongs to no case, or to one that had ended.
    var strayFailures: [ErrorValue] = []
    /// What it may take, in words; nil without a limit.
    private(set) var limit: String?

    private var bench: Bench { script.context.bench }
    var host: Host { script.host }
    var state: LuaState { script.state }

    init(_ script: ScenarioScript, observer: any CaseObserver) {
        self.script = script
        self.observer = observer
        limit = script.context.limits.timeout.map { Limits.text($0, isScenarios: false) }
        state.raised = { [weak self] error in self?.failed(error) }
        host.hasNews = { [weak self] in self?.tellFindings() }
    }

    /// Nanoseconds of the bench's clock.
    var now: UInt64 { host.realKernel.monotonic() }

    /// Takes a role in the scenario. `isVirtual`: the roles share a simulated clock, and run in turn.
    func join(_ role: String, _ roles: RoleState, isVirtual: Bool) -> RoleRendezvous {
        let rendezvous = RoleRendezvous(
            role, roles, host.realKernel, isSimulated: isVirtual,
            isInterrupted: { [unowned state] in state.isInterrupted })
        self.rendezvous = rendezvous
        host.rendezvous = rendezvous
        return rendezvous
    }

    /// Holds the script, and what is said of its time, to what its scenario declares.
    func hold(to scenario: Scenario) throws(ErrorValue) {
        if let timeout = scenario.limits.timeout, timeout <= script.context.limits.timeout ?? .infinity {
            limit = Limits.text(timeout, isScenarios: true)
        }
        try script.hold(to: scenario)
    }

    /// Runs all of them, in their order.
    func run(_ cases: [Scenario.Case], _ values: [String: LuaValue]) {
        caseNames = cases.map(\.name)
        for (index, one) in cases.enumerated() {
            rendezvous?.index = index
            state.era = index + 1
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
        // What the case left to the collector is closed now, so that the next case finds the devices free. Other roles may
        // still use it: there it is closed once all have ended.
        if rendezvous == nil { state.collect() }
        record(one.name, failure, since: start, until: end)
        if rendezvous != nil { state.collect() }
        noteOpen(after: one.name)
    }

    /// Roles of one kernel cannot tell each other's objects apart.
    private func noteOpen(after name: String? = nil) {
        guard rendezvous == nil || !bench.isSimulated else { return }
        let open = Set(host.realKernel.open)
        openAfter = openAfter.filter { open.contains($0.key) }
        guard let name else { return }
        for object in open where openAfter[object] == nil { openAfter[object] = name }
    }

    /// Hands on how a case ended, or what is judged as one, with all that it found.
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
        (host.realKernel as? TracingKernel)?.note(note.text)
        script.context.sinks.notes(note)
    }

    /// Before anything is closed that the error leaves open: what closes it may take the kernel along.
    private func failed(_ error: ErrorValue) {
        guard error.kind != .skip else { return }
        note(.fails(error))
        if error.kind != .interrupt { tellFindings(error) }
    }

    /// Tells what the case has found since it was told last, so that it outlives the process; `error` where that fails it.
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
