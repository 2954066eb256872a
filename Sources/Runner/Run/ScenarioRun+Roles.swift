import Bindings
import Kernel
import LuaKit

/// A scenario's roles: threads beside the first one's, or processes.
extension ScenarioRun {
    /// Takes the first role and starts the others.
    func start(_ scenario: Scenario, _ values: [String: LuaValue]) throws(ErrorValue) {
        let roles = scenario.roles
        let crew = Crew(roles, cases: scenario.cases.count, host.realKernel, isSimulated: bench.isSimulated)
        self.crew = crew
        sit(roles[0], crew.table)
        // The state holds its seat, and the crew what it watches.
        seat?.interrupted = { [unowned state, unowned crew] in
            crew.interrupt(state.stop ?? .interrupt)
            return true
        }
        crew.watch { [unowned state, unowned crew] in if let why = state.stop { crew.interrupt(why) } }
        for (number, role) in roles.enumerated().dropFirst() {
            let seed = state.seed &+ Int64(number)
            let run = {
                [file, bench, another, library, loaded, limits, permissions, featureFound, note, emit, unowned self]
                () throws(ErrorValue) in
                let follower = try ScenarioRun(
                    file: file, bench: bench, kernel: another(), another: another, library: library, loaded: loaded,
                    settings: [], seed: seed, limits: limits,
                    permissions: permissions, featureFound: featureFound, note: note, emit: { _ in },
                    print: { emit(ScenarioRun.printed("[\(role)] \($0)")) })
                defer { crew.add(follower.host.permissions.used) }
                follower.told = { event in if case .found = event { self.tell(event) } }
                try follower.follow(role, crew, values)
            }
            guard crew.start(number, role, run) else {
                crew.finish()
                throw ErrorValue(kind: "usage", "no thread for the role '\(role)'")
            }
        }
    }

    /// Meets the roles of other processes; false where that failed.
    func meet(_ place: RolePlace, _ scenario: Scenario) throws(ErrorValue) -> Bool {
        guard let role = try place.role(of: scenario.roles, in: scenario.name) else { return true }
        let link = RoleLink(
            role, scenario.roles, place, scenario: scenario.name, text: text, cases: scenario.cases.count,
            settings: comparable(settings, of: scenario),
            memory: min(limits.memory ?? Limits.defaultMemory, scenario.limits.memory ?? .max),
            note: { [self] in warn($0) }, isInterrupted: { [state] in state.isInterrupted })
        emit("  role: \(role), meets \(scenario.roles.filter { $0 != role }.joined(separator: ", "))")
        do throws(ErrorValue) { try link.meet() } catch {
            record("meeting the other roles", stopped(error), since: host.realKernel.monotonic())
            return false
        }
        self.link = link
        sit(role, link.table)
        // The others hear of it and stop; there may be nobody who does.
        seat?.interrupted = { false }
        return true
    }

    /// What `--set` set, but for devices: they are each machine's own.
    private func comparable(_ settings: [(name: String, value: String)], of scenario: Scenario) -> [String: String] {
        let devices = Set(scenario.options.filter(\.isDevice).map(\.name))
        return Dictionary(settings.filter { !devices.contains($0.name) }.map { ($0.name, $0.value) }) { $1 }
    }

    private func warn(_ text: String) {
        result.warnings.append(text)
        emit("  WARNING: \(text)")
    }

    /// Why the meeting ended, where the run was stopped.
    private func stopped(_ error: ErrorValue) -> ErrorValue {
        let waiting = "while it waited for the other roles: \(error.hint ?? error.message)"
        switch state.stop {
        case nil, .output: return error
        case .timeout: return ErrorValue(kind: "timeout", "its time is over \(waiting)")
        case .interrupt: return ErrorValue(kind: "interrupt", "interrupted \(waiting)")
        }
    }

    func sit(_ role: String, _ table: RoleTable) {
        let seat = RoleRendezvous(
            role, table, host.realKernel, isSimulated: bench.isSimulated && link == nil,
            isInterrupted: { [unowned state] in state.isInterrupted })
        self.seat = seat
        host.rendezvous = seat
    }

    /// Runs the cases in a role, with the options that the first role's thread has resolved.
    func follow(_ role: String, _ crew: Crew, _ values: [String: LuaValue]) throws(ErrorValue) {
        crew.add(state)
        sit(role, crew.table)
        try runCases(values)
        state.close()
        crew.leave(
            collecting: state.failuresWhileCollecting.map { "[\(role)] \($0.line)" },
            failuresOfNoCase().map {
                FurtherFailure("while closing what it left", "[\(role)] \($0.line)", ErrorFields($0))
            })
        if !bench.isSimulated { crew.leave(open: host.realKernel.open) }
    }
}
