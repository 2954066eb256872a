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

    /// Interrupting is the one thing that another thread may do to a state.
    private struct Interruptible: @unchecked Sendable { let state: LuaState }

    /// What the roles beyond the first have told of themselves.
    private struct Told {
        var states: [Interruptible] = []
        var open: [String] = []
        var effects: [Effect: [String]] = [:]
        var failures: [FurtherFailure] = []
        var collecting: [String] = []
    }

    /// For a scenario's roles; on a simulated bench they share `kernel` and run in turn.
    init(_ roles: [String], cases: Int, _ kernel: any Kernel, isSimulated: Bool) {
        self.roles = RoleState(roles, cases: cases)
        turns = isSimulated ? TurnLock(roles.count) : nil
        self.kernel = kernel
        if let turns { kernel.whenIdle { turns.pass() } }
    }

    /// What the first role's thread does now and then while it waits for its turn.
    func watch(_ action: @escaping () -> Void) { turns?.watch = action }

    /// Starts a role; false where no thread could be had.
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

    /// Remembers a role's state, so that it can be interrupted.
    func add(_ state: LuaState) {
        let one = Interruptible(state: state)
        told.withLock { $0.states.append(one) }
    }

    /// What roles have changed.
    var effects: [Effect: [String]] { told.withLock(\.effects) }

    /// Tells what a role has changed.
    func add(_ used: [Effect: [String]]) { told.withLock { $0.effects.merge(used) { Array(Set($0 + $1)) } } }

    /// What roles left open, of kernels of their own.
    var open: [String] { told.withLock(\.open) }

    /// Tells what a role has left open.
    func leave(open: [String]) { told.withLock { $0.open += open } }

    /// What roles' finalizers raised that is no case's.
    var failures: [FurtherFailure] { told.withLock(\.failures) }

    /// What the collector was refused when it closed objects of roles.
    var collecting: [String] { told.withLock(\.collecting) }

    /// Tells what failed at a role's end.
    func leave(collecting: [String], _ failures: [FurtherFailure]) {
        told.withLock {
            $0.collecting += collecting
            $0.failures += failures
        }
    }

    /// Whether a role's script drew from `math.random`; known once all are done.
    var drewRandom: Bool { told.withLock { $0.states.contains(where: \.state.drewRandom) } }

    /// Stops every role's script as Ctrl-C stops the first's.
    func interrupt(_ why: LuaState.Stop) { told.withLock { for one in $0.states { one.state.interrupt(why) } } }

    /// Waits until all are done. The first role runs nothing any more.
    func finish() {
        turns?.leave()
        for thread in threads { pthread_join(thread, nil) }
        kernel.whenIdle(nil)
    }
}

extension CaseResult {
    /// One result of all roles': what a role failed of itself comes before what it failed for another's sake.
    static func merged(_ results: [String: CaseResult], _ roles: [String], leader: CaseResult) -> CaseResult {
        let all = roles.compactMap { role in results[role].map { (role: role, result: $0) } }
        func first(_ verdict: Verdict, ofPeer: Bool) -> (role: String, result: CaseResult)? {
            all.first { $0.result.verdict == verdict && ($0.result.error?.kind == .peer) == ofPeer }
        }
        let worst =
            first(.interrupted, ofPeer: false) ?? first(.fail, ofPeer: false) ?? first(.notRun, ofPeer: false)
            ?? first(.skip, ofPeer: false) ?? first(.fail, ofPeer: true)
        var merged = CaseResult(
            name: leader.name, verdict: worst?.result.verdict ?? .pass, duration_ns: leader.duration_ns)
        merged.error = worst?.result.error
        merged.message = worst.flatMap { worst in worst.result.message.map { marked($0, worst.role) } }
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

    /// What the worst role failed besides, and what others failed of themselves.
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

    /// What a role found, with its name.
    func marked(_ role: String) -> CaseResult {
        var one = self
        one.message = message.map { CaseResult.marked($0, role) }
        one.log = log.map { CaseResult.marked($0, role) }
        return one
    }

    /// A role's text with its name before each line, so that none of them can be taken for another role's.
    private static func marked(_ text: String, _ role: String) -> String {
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.count > 1, lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { "[\(role)] \(String($0))" }.joined(separator: "\n")
    }
}
