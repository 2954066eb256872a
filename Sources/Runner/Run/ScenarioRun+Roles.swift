import Bindings
import Kernel
import LuaKit

/// Roles of a scenario, in threads beside the first role's, or in processes.
extension ScenarioRun {
    /// Joins as the first role and starts the others.
    func start(_ scenario: Scenario, _ values: [String: LuaValue]) throws(ErrorValue) {
        let roles = scenario.roles
        let isSimulated = context.bench.isSimulated
        let threads = RoleThreads(roles, cases: scenario.cases.count, host.realKernel, isSimulated: isSimulated)
        self.threads = threads
        let rendezvous = role.join(roles[0], threads.roles, isVirtual: isSimulated)
        // Unowned: the state holds the rendezvous, and the threads hold this closure.
        rendezvous.interrupted = { [unowned state, unowned threads] in
            threads.interrupt(state.stop ?? .interrupt)
            return true
        }
        threads.watch { [unowned state, unowned threads] in if let why = state.stop { threads.interrupt(why) } }
        for (number, name) in roles.enumerated().dropFirst() {
            let seed = state.seed &+ Int64(number)
            let run = { [kernels, script, report] () throws(ErrorValue) in
                let own = try ScenarioScript(
                    script.file, in: script.context, kernel: kernels.another(), loaded: script.loaded, seed: seed,
                    role: name)
                defer { threads.add(own.host.permissions.used) }
                try RoleFollower(own, name, threads, report).run(values)
            }
            guard threads.start(number, name, run) else {
                threads.finish()
                throw ErrorValue(kind: .usage, "no thread for the role '\(name)'")
            }
        }
    }

    /// Waits for the roles of other processes; false where that failed.
    func meet(_ assignment: RoleAssignment, _ scenario: Scenario) throws(ErrorValue) -> Bool {
        guard let name = try assignment.role(of: scenario.roles, in: scenario.name) else { return true }
        let link = RoleLink(
            name, scenario.roles, assignment, scenario: scenario.name, text: script.text, cases: scenario.cases.count,
            settings: comparable(settings, of: scenario), selection: context.cases?.patterns ?? [],
            memory: min(context.limits.memory ?? Limits.defaultMemory, scenario.limits.memory ?? .max),
            note: { [report] in report.warn($0) }, isInterrupted: { [state] in state.isInterrupted })
        report.emit("  role: \(name), meets \(scenario.roles.filter { $0 != name }.joined(separator: ", "))")
        do throws(ErrorValue) { try link.meet() } catch {
            role.record("meeting the other roles", stopped(error), since: role.now)
            return false
        }
        self.link = link
        // Does not wait after an interrupt: the others are told and stop, unless there are none.
        role.join(name, link.roles, isVirtual: false).interrupted = { false }
        return true
    }

    /// What the other roles are told at the end.
    var farewell: String {
        if let reason = report.result.skipped.first { return "it skipped the scenario: \(reason)" }
        let cases = report.result.cases
        return !cases.isEmpty && report.result.notSelected == cases.count
            ? "it left the scenario out: \(CaseSelection.reasonForAll)" : "it has ended"
    }

    /// Settings of `--set` without devices, which differ from machine to machine.
    private func comparable(_ settings: [(name: String, value: String)], of scenario: Scenario) -> [String: String] {
        let devices = Set(scenario.options.filter(\.isDevice).map(\.name))
        return Dictionary(settings.filter { !devices.contains($0.name) }.map { ($0.name, $0.value) }) { $1 }
    }

    /// The error for a meeting that ended because the run was stopped.
    private func stopped(_ error: ErrorValue) -> ErrorValue {
        let waiting = "while it waited for the other roles: \(error.hint ?? error.message)"
        switch state.stop {
        case nil, .output: return error
        case .timeout: return ErrorValue(kind: .timeout, "its time is over \(waiting)")
        case .interrupt: return ErrorValue(kind: .interrupt, "interrupted \(waiting)")
        }
    }
}

extension RoleAssignment {
    /// Whether it is one of these roles.
    func hasRole(of roles: [String]) -> Bool {
        switch choice {
        case .name(let name): roles.contains(name)
        case .rank(let rank, let count): count == roles.count && roles.indices.contains(rank)
        }
    }
}

/// A role beyond the first, in a thread of its own. It runs the cases with the option values that the first role has
/// resolved.
private final class RoleFollower: CaseObserver {
    private let script: ScenarioScript
    private let name: String
    private let threads: RoleThreads
    /// The first role's report. It gets this role's findings at once, and its results through the rendezvous.
    private let report: RunReport
    private lazy var role = RoleRun(script, observer: self)

    init(_ script: ScenarioScript, _ name: String, _ threads: RoleThreads, _ report: RunReport) {
        self.script = script
        self.name = name
        self.threads = threads
        self.report = report
    }

    func run(_ values: [String: LuaValue]) throws(ErrorValue) {
        let state = script.state, kernel = script.host.realKernel
        threads.add(state)
        let isSimulated = script.context.bench.isSimulated
        _ = role.join(name, threads.roles, isVirtual: isSimulated)
        try runCases(values)
        state.close()
        threads.leave(
            collecting: state.failuresWhileCollecting.map { "[\(name)] \($0.line)" },
            role.failuresOfNoCase().map {
                FurtherFailure("while closing what it left", "[\(name)] \($0.line)", ErrorFields($0))
            })
        if !isSimulated { threads.leave(open: kernel.open) }
    }

    /// A function of its own, so that the scenario's Lua functions are released before the state is closed.
    private func runCases(_ values: [String: LuaValue]) throws(ErrorValue) {
        guard let scenario = try script.load() else { return }
        try role.hold(to: scenario)
        role.run(scenario.cases, values)
    }

    func begins(_ index: Int) {}

    func found(_ news: CaseResult) { report.tell(.found(news.marked(name))) }

    func ended(_ one: CaseResult) { _ = role.rendezvous?.end(one) }

    func notRun(because why: LuaState.Stop) -> ErrorValue { ErrorValue.notRun(because: why) }
}
