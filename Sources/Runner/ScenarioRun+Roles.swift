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
                [file, bench, another, library, loaded, limits, permissions, featureFound, note, emit]
                () throws(ErrorValue) in
                let follower = try ScenarioRun(
                    file: file, bench: bench, kernel: another(), another: another, library: library, loaded: loaded,
                    settings: [], seed: seed, limits: limits,
                    permissions: permissions, featureFound: featureFound, note: note, emit: { _ in },
                    print: { emit(ScenarioRun.printed("[\(role)] \($0)")) })
                defer { crew.add(follower.host.permissions.used) }
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
            memory: min(limits.memory ?? Limits.defaultMemory, scenario.limits.memory ?? .max),
            isInterrupted: { [state] in state.isInterrupted })
        emit("  role: \(role), meets \(scenario.roles.filter { $0 != role }.joined(separator: ", "))")
        do throws(ErrorValue) { try link.meet() } catch {
            let error = state.isInterrupted ? ErrorValue(kind: "interrupt", error.message) : error
            record("meeting the other roles", error, since: host.realKernel.monotonic())
            return false
        }
        self.link = link
        sit(role, link.table)
        // The others hear of it and stop; there may be nobody who does.
        seat?.interrupted = { false }
        return true
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
        crew.leave(failuresOfEnd.map { "[\(role)] \($0)" }, isFailure: hasFailedAtEnd)
        if !bench.isSimulated { crew.leave(open: host.realKernel.open) }
    }
}
