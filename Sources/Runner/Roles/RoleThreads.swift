import Bindings
import Glibc
import Kernel
import LuaKit
import Synchronization

/// The roles of a scenario beyond the first, each a thread with a Lua state and a kernel handle of its own.
final class RoleThreads: @unchecked Sendable {
    let roles: RoleState
    private let turns: TurnLock?
    private let kernel: any Kernel
    private var threads: [pthread_t] = []
    private let told = Mutex(Told())

    /// Interrupting is the only operation on a state that is safe in another thread.
    private struct Interruptible: @unchecked Sendable { let state: LuaState }

    /// Data that the roles beyond the first have reported.
    private struct Told {
        var states: [Interruptible] = []
        var open: [String] = []
        var effects: [Effect: [String]] = [:]
        var failures: [FurtherFailure] = []
        var collecting: [String] = []
    }

    /// Prepares threads; on a simulated bench the roles share `kernel` and run in turn.
    init(_ roles: [String], cases: Int, _ kernel: any Kernel, isSimulated: Bool) {
        self.roles = RoleState(roles, cases: cases)
        turns = isSimulated ? TurnLock(roles.count) : nil
        self.kernel = kernel
        if let turns { kernel.whenIdle { turns.pass() } }
    }

    /// Sets an action for the first role's thread, called regularly while it waits for its turn.
    func watch(_ action: @escaping () -> Void) { turns?.watch = action }

    /// Starts a role; false where no thread can be started.
    func start(_ number: Int, _ role: String, _ body: @escaping () throws(ErrorValue) -> Void) -> Bool {
        let thread = startThread { [turns, roles] in
            turns?.take(number)
            var reason = "it has ended"
            do throws(ErrorValue) { try body() } catch { reason = error.line }
            roles.leave(role, because: reason)
            turns?.leave()
        }
        guard let thread else { return false }
        threads.append(thread)
        return true
    }

    /// Registers a role's state, so that it can be interrupted.
    func add(_ state: LuaState) {
        let one = Interruptible(state: state)
        told.withLock { $0.states.append(one) }
    }

    /// Effects used by these roles.
    var effects: [Effect: [String]] { told.withLock(\.effects) }

    /// Adds effects that a role has used.
    func add(_ used: [Effect: [String]]) { told.withLock { $0.effects.merge(used) { Array(Set($0 + $1)) } } }

    /// Objects that roles left open in kernel handles of their own.
    var open: [String] { told.withLock(\.open) }

    /// Adds objects that a role left open.
    func leave(open: [String]) { told.withLock { $0.open += open } }

    /// Errors of roles' finalizers that belong to no case.
    var failures: [FurtherFailure] { told.withLock(\.failures) }

    /// Failures of the collector to close objects of roles.
    var collecting: [String] { told.withLock(\.collecting) }

    /// Adds failures from a role's end.
    func leave(collecting: [String], _ failures: [FurtherFailure]) {
        told.withLock {
            $0.collecting += collecting
            $0.failures += failures
        }
    }

    /// Whether a role's script drew from `math.random`; known once all have ended.
    var drewRandom: Bool { told.withLock { $0.states.contains(where: \.state.drewRandom) } }

    /// Stops every role's script.
    func interrupt(_ why: LuaState.Stop) { told.withLock { for one in $0.states { one.state.interrupt(why) } } }

    /// Waits until all have ended. Call it once the first role runs nothing any more.
    func finish() {
        turns?.leave()
        for thread in threads { pthread_join(thread, nil) }
        kernel.whenIdle(nil)
    }
}

extension CaseResult {
    /// Merges all roles' results. A role's own failure comes before failures caused by another role (kind "peer").
    static func merged(_ results: [String: CaseResult], _ roles: [String], leader: CaseResult) -> CaseResult {
        let all = roles.compactMap { role in results[role].map { (role: role, result: $0) } }
        func first(_ verdict: Verdict, ofPeer: Bool) -> (role: String, result: CaseResult)? {
            all.first { $0.result.verdict == verdict && ($0.result.error?.kind == .peer) == ofPeer }
        }
        // A role of another process may have selected it all the same.
        let isLeftOut = all.allSatisfy { $0.result.verdict == .notSelected }
        let worst =
            first(.interrupted, ofPeer: false) ?? first(.fail, ofPeer: false) ?? first(.notRun, ofPeer: false)
            ?? first(.skip, ofPeer: false) ?? first(.fail, ofPeer: true) ?? (isLeftOut ? all.first : nil)
        var merged = CaseResult(
            name: leader.name, verdict: worst?.result.verdict ?? .pass, duration_ns: leader.duration_ns)
        merged.error = worst?.result.error
        merged.message = worst.flatMap { worst in
            // No role has selected it.
            guard worst.result.verdict != .notSelected else { return worst.result.message }
            return worst.result.message.map { marked($0, worst.role) }
        }
        merged.further = furtherFailures(of: all, worst: worst?.role)
        merged.log = all.flatMap { entry in entry.result.log.map { marked($0, entry.role) } }
        merged.metrics = all.flatMap(\.result.metrics)
        merged.distributions = all.flatMap(\.result.distributions)
        merged.evidence = all.flatMap(\.result.evidence)
        let warnings = all.flatMap { entry in (entry.result.warnings ?? []).map { "[\(entry.role)] \($0)" } }
        merged.warnings = warnings.isEmpty ? nil : warnings
        merged.kernel = KernelFindings.merged(all.map { ($0.role, $0.result.kernel) })
        return merged
    }

    /// Further failures of the worst role, and the other roles' own failures.
    private static func furtherFailures(of all: [(role: String, result: CaseResult)], worst: String?)
        -> [FurtherFailure]?
    {
        let first = all.filter { $0.role == worst }
        let further = (first + all.filter { $0.role != worst }).flatMap { role, result in
            var failures: [FurtherFailure] = []
            if role != worst, result.verdict == .fail, result.error?.kind != .peer {
                failures.append(FurtherFailure("in role '\(role)'", result.message ?? "it failed", result.error))
            }
            return failures
                + (result.further ?? []).map { FurtherFailure("\($0.when) in role '\(role)'", $0.message, $0.error) }
        }
        return further.isEmpty ? nil : further
    }

    /// A role's result, marked with the role's name.
    func marked(_ role: String) -> CaseResult {
        var one = self
        one.message = message.map { CaseResult.marked($0, role) }
        one.log = log.map { CaseResult.marked($0, role) }
        return one
    }

    /// Puts the role's name before each line of a text, so that no line can be taken for another role's.
    private static func marked(_ text: String, _ role: String) -> String {
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.count > 1, lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { "[\(role)] \(String($0))" }.joined(separator: "\n")
    }
}
