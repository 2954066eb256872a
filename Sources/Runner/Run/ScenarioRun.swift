public import Bindings
import Devices
public import Kernel
public import LuaKit
import Synchronization

/// One scenario file on one bench: loads, checks, runs, cleans up.
public final class ScenarioRun {
    let file: String
    let text: [UInt8]
    let bench: Bench
    let settings: [(name: String, value: String)]
    let host: Host
    let state: LuaState
    let emit: (String) -> Void
    let note: (CaseNote) -> Void
    var result: ScenarioResult
    /// Another handle of the bench's kernel, for a role.
    let another: () -> any Kernel
    let library: Library
    let loaded: LoadedModules
    let featureFound: (Feature) -> Void
    /// Where this process is one role of several.
    let place: RolePlace?
    var crew: Crew?
    var link: RoleLink?
    var seat: RoleRendezvous?
    /// Of what was open at every case's end since, and is: the first of these cases.
    var openAfter: [String: String] = [:]
    /// What finalizers raised that belongs to no case, or to one that had ended.
    var strayFailures: [ErrorValue] = []
    /// What ends it where it takes too long.
    let deadline: Deadline?
    let limits: Limits
    /// What it may take, in words; nil without a limit.
    var limit: String?
    /// Whether the file came from elsewhere, in a bundle: it runs on this machine's devices only where that is trusted.
    public var isForeign = false
    let permissions: () -> Permissions
    /// What the script changed, in every role.
    public internal(set) var effects: [Effect: [String]] = [:]
    /// Called where it must wait for devices that another one uses.
    public var whenWaiting: (() -> Void)?
    /// Called once it has its devices for itself.
    public var whenClaimed: (() -> Void)?
    /// What to bind before it begins, and who does that; a simulated kernel's devices are bound here. nil for nothing.
    public var binding: (choice: BindingChoice, broker: (any BindingBroker)?)?
    /// Who has bound devices for it.
    var broker: (any BindingBroker)?
    /// The log of the kernel that answers; nil where nobody watches it.
    public var kernelLog: KernelLog?
    /// What the kernel said while no case ran.
    var outside = KernelLog.News()
    /// Is told how the run goes on.
    public var told: ((RunEvent) -> Void)?
    let telling = Mutex(())
    /// Whether the file, once it is loaded, returned a table that has nothing of a scenario: a module's.
    public private(set) var returnsNoScenario = false

    /// What ran in ``LuaState/era`` 1, 2, ...; 0 is before the first case.
    var caseNames: [String] = []

    /// Reads the file and prepares a state; nothing runs yet.
    /// - Parameters:
    ///   - kernel: the bench's kernel, perhaps traced.
    ///   - another: gives further handles of that kernel: each role of a scenario has its own.
    ///   - seed: what `math.random` begins with; another one each time where it is nil.
    ///   - place: the one role to run, and where the others are met; nil runs all of them here.
    ///   - limits: the time and memory it may have; a scenario's own count where they are less.
    ///   - permissions: what the script may change; each role has some of its own, made by `another`.
    ///   - loaded: takes the modules that it loads from its own folder; roles share it.
    ///   - deadline: what keeps the time; nil where a process outside does.
    ///   - note: takes the name of each case that begins, and its first error, for a trace.
    ///   - emit: takes each line of the report, as ``PrintableText`` shows it.
    ///   - print: takes each line that the script prints; nil where `emit` does, with a mark before it.
    public init(
        file: String, bench: Bench, kernel: any Kernel, another: @escaping () -> any Kernel, library: Library,
        loaded: LoadedModules = LoadedModules(), settings: [(name: String, value: String)], seed: Int64? = nil,
        place: RolePlace? = nil,
        limits: Limits = Limits(), deadline: Deadline? = nil,
        permissions: @escaping () -> Permissions = { Permissions() }, featureFound: @escaping (Feature) -> Void,
        note: @escaping (CaseNote) -> Void, emit: @escaping (String) -> Void, print: ((String) -> Void)? = nil
    ) throws(ErrorValue) {
        text = try Library.named(file)
        self.file = file
        self.bench = bench
        self.settings = settings
        self.place = place
        self.limits = limits
        limit = limits.timeout.map { Limits.text($0, isScenarios: false) }
        self.deadline = deadline
        self.permissions = permissions
        self.another = another
        self.library = library
        self.loaded = loaded
        self.featureFound = featureFound
        let emit = { (line: String) in emit(PrintableText.line(line)) }
        self.emit = emit
        self.note = note
        let tph = TPHResolver(bench.tph)
        tph.found = featureFound
        host = Host(kernel: kernel, isSimulated: bench.isSimulated, tph: tph, permissions: permissions())
        let folder = file.contains("/") ? String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)]) : "."
        state = LuaState(
            context: host, seed: seed,
            find: { name throws(ErrorValue) in try library.find(name, from: folder, loaded: loaded) },
            print: ScenarioRun.counted(print ?? { emit(ScenarioRun.printed($0)) }, by: host))
        host.stop = { [unowned state] in state.interrupt(.output) }
        state.limitMemory(limits.memory ?? Limits.defaultMemory)
        state.askForEffects { [host] effect, function throws(ErrorValue) in
            try host.permissions.permit(effect, function)
        }
        state.offer(modules)
        let name = file.split(separator: "/").last.map(String.init) ?? file
        result = ScenarioResult(
            file: library.shown(file), name: name, verdict: .pass, bench: bench.kind,
            bench_description: bench.description,
            simulated: bench.isSimulated)
        result.seed = state.seed
        result.sandbox = bench.sandbox
        listen()
    }

    private func listen() {
        state.raised = { [unowned self] error in failed(error) }
        host.hasNews = { [unowned self] in tellFindings() }
    }

    /// Before anything is closed that the error leaves open: what closes it may take the kernel along.
    private func failed(_ error: ErrorValue) {
        guard error.kind != "skip" else { return }
        note(.fails(error))
        if error.kind != "interrupt" { tellFindings(error) }
    }

    /// A line of a script's, marked so that it cannot be taken for one of the report's.
    static func printed(_ line: String) -> String { line.isEmpty ? "|" : "| " + line }

    /// What a script prints, line by line, up to a limit: then it is stopped.
    private static func counted(_ print: @escaping (String) -> Void, by host: Host) -> (String) -> Void {
        { text in
            let lines = PrintableText.lines(text)
            host.printed += max(text.utf8.count + 1, lines.reduce(0) { $0 + $1.utf8.count + 3 })
            if host.printed > Limits.output { host.stop?() } else { lines.forEach(print) }
        }
    }

    /// What the file declares, without running any of it; nil for a plain script.
    public func describe() throws(ErrorValue) -> Scenario? {
        host.refusal = ErrorValue(kind: "usage", "a plain script has no options to describe")
        defer { host.refusal = nil }
        do throws(ErrorValue) {
            return try load()
        } catch {
            if error.kind == "usage" { return nil }
            throw error
        }
    }

    func load() throws(ErrorValue) -> Scenario? {
        switch try state.run(text, name: "@" + library.shown(file)) {
        case .none: return nil
        case .table(let fields, let functions):
            returnsNoScenario = Scenario.keys.isDisjoint(with: fields.keys)
            do throws(ErrorValue) {
                return try Scenario(fields, functions: functions, file: result.name)
            } catch {
                var error = error
                error.position = library.shown(file) + ": "
                throw error
            }
        case .other(let type):
            returnsNoScenario = true
            var error = ErrorValue(
                kind: "script", "a script returns a scenario (a table with cases) or nothing; this one returns: \(type)"
            )
            error.position = library.shown(file) + ": "
            throw error
        }
    }

    /// Runs it all. Throws where the file or the options are wrong, before anything was opened.
    public func run() throws(ErrorValue) -> ScenarioResult {
        state.stopOnSignals()
        defer { state.ignoreSignals() }
        guard !isForeign || host.permissions.grants.trusts else {
            throw ErrorValue(
                kind: "permission",
                "\(file) came from elsewhere: it runs on the simulated bench and the lab, and on this machine's devices only "
                    + "with --trust")
        }
        deadline?.begin(limits.timeout)
        tell(.begins(result))
        watchKernel()
        defer { deadline?.finish() }
        if let setting = settings.first { host.refusal = Scenario.unknownOption(setting.name, []) }
        let start = host.realKernel.monotonic()
        do throws(ErrorValue) {
            if case .devices(let addresses)? = binding?.choice { try bind(addresses) }
            if let scenario = try load() {
                host.refusal = nil
                try run(scenario)
            } else {
                if let refusal = host.refusal { throw refusal }
                state.collect()
                record(result.name, nil, since: start)
            }
        } catch {
            guard error.kind != "usage", !state.isInterrupted, isOfPlainScript(error) else {
                return try ended(by: error, since: start)
            }
            record(result.name, error, since: start)
        }
        return finished()
    }

    /// A plain script runs while it is loaded, so its failures are a case's; a syntax error is the file's.
    private func isOfPlainScript(_ error: ErrorValue) -> Bool { error.traceback != nil && result.cases.isEmpty }

    private func ended(by error: ErrorValue, since start: UInt64) throws(ErrorValue) -> ScenarioResult {
        guard error.kind != "usage", state.isInterrupted else {
            link?.finish(because: error.line)
            state.close()
            for problem in restoreDevices() { emit("  LEFT BOUND: \(problem)") }
            throw error
        }
        record(result.name, error, since: start)
        return finished()
    }

    private func run(_ scenario: Scenario) throws(ErrorValue) {
        result.name = scenario.name
        result.about = scenario.about.isEmpty ? nil : scenario.about
        (result.concerns, result.expected, result.seen) = (scenario.concerns, scenario.expected, scenario.seen)
        if let timeout = scenario.limits.timeout {
            deadline?.limit(timeout, isScenarios: true)
            if timeout <= limits.timeout ?? .infinity { limit = Limits.text(timeout, isScenarios: true) }
        }
        limitMemory(of: scenario)
        try host.permissions.declare(scenario.effects, of: scenario.name)
        let values = try scenario.values(settings)
        emit("scenario: \(scenario.name)" + (scenario.about.isEmpty ? "" : ", \(scenario.about)"))
        if let warning = scenario.matrixWarning(settings, file: file) {
            result.warnings.append(warning)
            emit("  NOTE: \(warning)")
        }
        if let place, try !meet(place, scenario) { return }
        try DeviceChoice.checkNamed(scenario.options, values, host)
        var functions: [PCIFunction]
        var unbound: [PCIAddress] = []
        do throws(Failure) {
            if binding?.choice == .automatic {
                unbound = try DeviceChoice.unbound(scenario.options, values, host)
                if unbound.isEmpty {
                    emit("  NOTE: --bind auto binds nothing: no option names a device that vfio-pci does not have")
                }
            }
        } catch {
            throw error.luaError
        }
        try bind(unbound)
        // What `--inject` names is refused to the cases.
        let kernel = host.realKernel as? TracingKernel
        kernel?.isProbing = true
        defer { kernel?.isProbing = false }
        do throws(Failure) {
            functions = try DeviceChoice.functions(scenario.options, needs: scenario.needs, host)
        } catch {
            return record("the machine's devices", error.luaError, since: host.realKernel.monotonic())
        }
        functions = try DeviceChoice.granted(functions, scenario, values, host)
        let resolved: DeviceChoice
        do throws(SkipReason) {
            resolved = try DeviceChoice(
                scenario.options, needs: scenario.needs, from: functions, values, host)
        } catch {
            return skip([error.reason])
        }
        keep(optionsOf: scenario, resolved)
        let locks = try lock(scenario, resolved, functions)
        defer { withExtendedLifetime(locks) {} }
        record(environmentOf: scenario, resolved)
        do throws(Failure) {
            var missing: [String] = []
            for need in scenario.needs {
                if let reason = try need.missing(resolved.subjects, host) {
                    missing.append("needs \(need.rawValue): \(reason)")
                }
            }
            guard missing.isEmpty else { return skip(missing) }
        } catch {
            return record("what the scenario needs", error.luaError, since: host.realKernel.monotonic())
        }
        kernel?.isProbing = false
        if !scenario.roles.isEmpty, place == nil { try start(scenario, resolved.values) }
        run(scenario.cases, resolved.values)
    }

    private func limitMemory(of scenario: Scenario) {
        guard let memory = scenario.limits.memory, memory < limits.memory ?? Limits.defaultMemory else { return }
        state.limitMemory(memory)
    }

    /// The scenario's functions must be gone before the state is closed.
    func runCases(_ values: [String: LuaValue]) throws(ErrorValue) {
        guard let scenario = try load() else { return }
        limitMemory(of: scenario)
        try host.permissions.declare(scenario.effects, of: scenario.name)
        run(scenario.cases, values)
    }

    private func run(_ cases: [Scenario.Case], _ values: [String: LuaValue]) {
        var known = result
        known.cases = []
        tell(.loaded(known, cases: cases.map(\.name)))
        caseNames = cases.map(\.name)
        for (index, one) in cases.enumerated() {
            seat?.index = index
            state.era = index + 1
            if let why = state.stop {
                record(one.name, notRun(because: why), since: host.realKernel.monotonic())
                continue
            }
            leaveBetweenCases()
            tell(.starts(index))
            run(one, values)
        }
    }

    private func run(_ one: Scenario.Case, _ values: [String: LuaValue]) {
        note(.begins(one.name))
        let start = host.realKernel.monotonic()
        noteOpen()
        var failure: ErrorValue?
        do throws(ErrorValue) {
            try state.call(one.function, module: "case", [.table(values)])
        } catch {
            failure = error
        }
        let end = host.realKernel.monotonic()
        // What the case left to the collector is closed now, so that the next case finds the devices free. Other roles may
        // still use it: there it is closed once all have ended.
        if seat == nil { state.collect() }
        record(one.name, failure, since: start, until: end)
        if seat != nil { state.collect() }
        noteOpen(after: one.name)
    }

    /// Roles of one kernel cannot tell each other's objects apart.
    private func noteOpen(after name: String? = nil) {
        guard seat == nil || !bench.isSimulated else { return }
        let open = Set(host.realKernel.open)
        openAfter = openAfter.filter { open.contains($0.key) }
        guard let name else { return }
        for object in open where openAfter[object] == nil { openAfter[object] = name }
    }

    private func skip(_ reasons: [String]) {
        result.skipped = reasons
        result.verdict = .skip
        for reason in reasons { emit("  skip  \(reason)") }
    }
}
