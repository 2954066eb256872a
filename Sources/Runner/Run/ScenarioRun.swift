import Bindings
import Devices
import Kernel
public import LuaKit

/// One scenario file on one bench, from its first line to its result. The cases of the first role, or of a scenario
/// without roles, run in the caller's thread.
public final class ScenarioRun {
    let context: RunContext
    let kernels: RunKernels
    let script: ScenarioScript
    let report: RunReport
    let devices: RunDevices
    let kernelWatch: KernelWatch
    let settings: [(name: String, value: String)]
    /// The roles beside the first one, as threads.
    var threads: RoleThreads?
    /// The other roles, as processes.
    var link: RoleLink?
    /// Lazy: it needs `self` as its observer.
    private(set) lazy var role = RoleRun(script, observer: self)
    /// Names of the scenario's cases; nil where it was not loaded.
    public private(set) var caseNames: [String]?
    /// Effects used by the script, in every role.
    public private(set) var effects: [Effect: [String]] = [:]

    var state: LuaState { script.state }
    var host: Host { script.host }

    /// Reads the file and prepares a state; nothing runs yet.
    /// - Parameters:
    ///   - settings: option values of `--set`.
    ///   - seed: the seed of `math.random`; a random one where nil.
    public init(
        _ file: String, in context: RunContext, settings: [(name: String, value: String)] = [], seed: Int64? = nil
    ) throws(ErrorValue) {
        self.context = context
        self.settings = settings
        kernels = RunKernels(context)
        script = try ScenarioScript(file, in: context, kernel: kernels.first, seed: seed)
        report = RunReport(script)
        devices = RunDevices(script, report)
        kernelWatch = KernelWatch(context, script.state)
    }

    /// Runs all cases. Throws where the file or the options are wrong, before anything was opened.
    public func run() throws(ErrorValue) -> ScenarioResult {
        state.stopOnSignals()
        defer { state.ignoreSignals() }
        guard !context.isForeign || host.permissions.grants.trusts else {
            throw ErrorValue(
                kind: .permission,
                "\(script.file) came from elsewhere: it runs on the simulated bench and the lab, and on this machine's "
                    + "devices only with --trust")
        }
        context.deadline?.begin(context.limits.timeout)
        report.tell(.begins(report.result))
        if let warning = kernelWatch.begin() { report.warn(warning) }
        defer { context.deadline?.finish() }
        if context.cases != nil { host.refusal = CaseSelection.refusalOfPlain }
        if let setting = settings.first { host.refusal = Scenario.unknownOption(setting.name, []) }
        let start = role.now
        do throws(ErrorValue) {
            if let cases = context.cases, cases.isPlain(script.text) {
                guard cases.isOneOfMany else { throw CaseSelection.refusalOfPlain }
                caseNames = []
                report.leaveOut([script.name], because: "\(script.name): a plain script has no cases")
                return finished()
            }
            try devices.bindNamed()
            if let scenario = try script.load() {
                host.refusal = nil
                host.printedLines.end()
                try run(scenario)
            } else {
                if let refusal = host.refusal { throw refusal }
                state.collect()
                role.record(script.name, nil, since: start)
            }
        } catch {
            guard error.kind != .usage, !state.isInterrupted, isOfPlainScript(error) else {
                return try ended(by: error, since: start)
            }
            role.record(script.name, error, since: start)
        }
        return finished()
    }

    /// Whether the error is a case's failure: a plain script runs while it is loaded. A syntax error is the file's.
    private func isOfPlainScript(_ error: ErrorValue) -> Bool {
        error.traceback != nil && report.result.cases.isEmpty
    }

    private func ended(by error: ErrorValue, since start: UInt64) throws(ErrorValue) -> ScenarioResult {
        guard error.kind != .usage, state.isInterrupted else {
            link?.finish(because: error.line)
            state.close()
            for problem in devices.restore() { report.emit("  LEFT BOUND: \(problem)") }
            throw error
        }
        role.record(script.name, error, since: start)
        return finished()
    }

    private func run(_ scenario: Scenario) throws(ErrorValue) {
        introduce(scenario)
        try role.hold(to: scenario)
        let values = try scenario.values(settings)
        let names = scenario.cases.map(\.name)
        caseNames = names
        let isSelected = try context.cases?.selectsAny(of: names) ?? true
        report.emit("scenario: \(scenario.name)" + (scenario.about.isEmpty ? "" : ", \(scenario.about)"))
        if let warning = scenario.matrixWarning(settings, file: script.file) { report.warn(warning, as: "NOTE") }
        // Also where this process leaves the scenario out: the others may not, and would wait for it.
        if let assignment = context.assignment, isSelected || assignment.hasRole(of: scenario.roles),
            try !meet(assignment, scenario)
        {
            return
        }
        guard isSelected else { return report.leaveOut(names) }
        try DeviceChoice.checkNamed(scenario.options, values, host)
        try devices.bindChosen(scenario.options, values)
        // `--inject` refuses calls of the cases only, not these.
        let tracing = host.realKernel as? TracingKernel
        tracing?.isProbing = true
        defer { tracing?.isProbing = false }
        guard let (chosen, functions) = try choose(for: scenario, values) else { return }
        report.keep(scenario.options, settings, chosen)
        // Of roles in separate processes, the first takes the locks.
        let isFirst = context.assignment == nil || role.rendezvous?.role == scenario.roles.first
        let locks = isFirst ? try devices.lock(scenario, chosen, functions) : nil
        defer { withExtendedLifetime(locks) {} }
        devices.describe(scenario, chosen)
        guard hasAll(scenario.needs, chosen) else { return }
        tracing?.isProbing = false
        if !scenario.roles.isEmpty, context.assignment == nil { try start(scenario, chosen.values) }
        report.tell(.loaded(report.head, cases: names))
        role.run(scenario.cases, chosen.values)
    }

    private func introduce(_ scenario: Scenario) {
        report.result.name = scenario.name
        report.result.about = scenario.about.isEmpty ? nil : scenario.about
        report.result.concerns = scenario.concerns
        report.result.expected = scenario.expected
        report.result.seen = scenario.seen
        for (key, text) in [
            ("about", report.result.about), ("concerns", scenario.concerns), ("expected", scenario.expected),
            ("seen", scenario.seen),
        ] {
            if let text { context.sinks.notes(.scenario(key: key, text)) }
        }
        report.expect(scenario.expectedFailures)
        if let timeout = scenario.limits.timeout { context.deadline?.limit(timeout, isScenarios: true) }
    }

    /// Chooses granted devices for the options; nil where that fails or there are none, which is reported.
    private func choose(for scenario: Scenario, _ values: [String: LuaValue]) throws(ErrorValue)
        -> (DeviceChoice, [PCIFunction])?
    {
        var functions: [PCIFunction]
        do throws(Failure) {
            functions = try DeviceChoice.functions(scenario.options, needs: scenario.needs, host)
        } catch {
            role.record("the machine's devices", error.luaError, since: role.now)
            return nil
        }
        functions = try DeviceChoice.granted(functions, scenario, values, host)
        do throws(SkipReason) {
            var machine = DeviceChoice.Machine(host)
            if let diagnosis { machine.advice = { diagnosis().advice(onBinding: $0) } }
            return (
                try DeviceChoice(scenario.options, needs: scenario.needs, from: functions, values, machine), functions
            )
        } catch {
            report.skip([error.reason])
            return nil
        }
    }

    /// What this machine lacks, for refusals; nil on other benches. It is looked at through a kernel of its own, so that a trace
    /// shows the scenario's calls alone.
    private var diagnosis: (() -> Diagnosis)? {
        guard context.bench.kind == "host" else { return nil }
        return { [bench = context.bench] in
            Diagnosis(
                kernel: bench.makeKernel(), depth: .init(opensDevices: false), tph: bench.tph,
                labScripts: bench.labScripts)
        }
    }

    /// Whether the bench has what the scenario needs; reports what is missing.
    private func hasAll(_ needs: [Need], _ chosen: DeviceChoice) -> Bool {
        do throws(Failure) {
            var missing: [String] = []
            for need in needs {
                if let reason = try need.missing(chosen.subjects, host) {
                    let advice = diagnosis?().advice(on: need.purpose, beside: reason) ?? ""
                    missing.append("needs \(need.rawValue): \(reason)" + (advice.isEmpty ? "" : "; \(advice)"))
                }
            }
            if !missing.isEmpty { report.skip(missing) }
            return missing.isEmpty
        } catch {
            role.record("what the scenario needs", error.luaError, since: role.now)
            return false
        }
    }

    // MARK: The end

    /// Closes everything and reports what could not be closed.
    private func finished() -> ScenarioResult {
        state.close()
        if !context.bench.isSimulated { report.result.environment.merge(host.facts) { before, _ in before } }
        threads?.finish()
        link?.finish(because: farewell)
        report.result.random = state.drewRandom || threads?.drewRandom == true ? true : nil
        effects = host.permissions.used.merging(threads?.effects ?? [:]) { Array(Set($0 + $1)) }
        report.result.left_open = host.realKernel.open + (threads?.open ?? []) + devices.restore()
        judgeFinalizers()
        if let one = kernelWatch.judgeOutside() { report.add(one, isCase: false) }
        report.result.modules = script.loaded.sorted.isEmpty ? nil : script.loaded.sorted
        report.result.tph = host.tph.summary
        let tracing = host.realKernel as? TracingKernel
        report.result.calls_refused = tracing?.callsRefused ?? 0
        report.result.faults_unused = (tracing?.faults?.unused ?? []) + host.realKernel.clearCompletionFaults()
        report.result.not_modelled = host.realKernel.notModelled.map { NotModelled(call: $0.call, count: $0.count) }
        let result = report.result
        if result.skipped.isEmpty || !result.left_open.isEmpty || !result.cases.isEmpty {
            report.result.verdict = verdict()
        }
        report.end()
        return report.result
    }

    /// Errors of the script's finalizers fail the run, whenever they run.
    private func judgeFinalizers() {
        let own = role.failuresOfNoCase().map { FurtherFailure("while closing what it left", $0) }
        let failures = own + (threads?.failures ?? [])
        let refused = state.failuresWhileCollecting.map(\.line) + (threads?.collecting ?? [])
        report.result.collecting = refused + failures.map(\.message)
        guard let first = failures.first else { return }
        var one = CaseResult(name: "finalizers outside the cases", verdict: .fail, duration_ns: 0)
        one.message = first.message
        one.error = first.error
        one.further = failures.count > 1 ? Array(failures.dropFirst()) : nil
        report.add(one, isCase: false)
    }

    private func verdict() -> Verdict {
        state.stop == .interrupt ? .interrupted : report.result.judged
    }
}

extension ScenarioRun: CaseObserver {
    func begins(_ index: Int) {
        kernelWatch.leaveBetweenCases()
        report.tell(.starts(index))
    }

    func found(_ news: CaseResult) { report.tell(.found(news)) }

    func ended(_ one: CaseResult) {
        var one = one
        // Each process judges the kernel log itself; for threads the first role does.
        if link != nil { kernelWatch.judge(&one) }
        if let rendezvous = role.rendezvous {
            if let why = state.stop { threads?.interrupt(why) }
            one = CaseResult.merged(rendezvous.end(one), rendezvous.roles, leader: one)
        }
        if link == nil { kernelWatch.judge(&one) }
        report.add(one, printed: host.printedLines.kept)
    }

    /// Error for a case that did not run. The first such case gives the reason, unless an earlier case has given it.
    func notRun(because why: LuaState.Stop) -> ErrorValue {
        let kinds: [LuaState.Stop: (kind: ErrorKind, text: String)] = [
            .interrupt: (.interrupt, "interrupted"), .timeout: (.timeout, "its time is over"),
            .output: (.output, "it printed more than it may"),
        ]
        let last = report.result.cases.last
        // The stop may have come while the last case was being closed.
        let told = ([last?.error] + (last?.further ?? []).map(\.error)).map { $0?.kind }
        let isTold =
            last?.verdict == .notRun || last?.verdict == .interrupted || told.contains { $0 == kinds[why]?.kind }
        if !isTold, let (kind, text) = kinds[why] { return ErrorValue(kind: kind, text) }
        return ErrorValue.notRun(because: why)
    }
}

extension ErrorValue {
    /// Error for a case that did not run, where another one gives the reason.
    static func notRun(because why: LuaState.Stop) -> ErrorValue {
        let reason = why == .interrupt ? "interrupted" : "the scenario was stopped before"
        return ErrorValue(kind: .notRun, "not run: \(reason)")
    }
}
