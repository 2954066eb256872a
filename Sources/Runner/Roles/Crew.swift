import Bindings
import Glibc
import Kernel
import LuaKit

/// The roles of a scenario beyond the first, each a thread with a Lua state and a kernel handle of its own.
final class Crew: @unchecked Sendable {
    let table: RoleTable
    private let baton: Baton?
    private let kernel: any Kernel
    private var threads: [pthread_t] = []
    private var states: [LuaState] = []
    /// What roles left open, of kernels of their own.
    private(set) var open: [String] = []
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    /// For a scenario's roles; on a simulated bench they share `kernel` and run in turn.
    init(_ roles: [String], cases: Int, _ kernel: any Kernel, isSimulated: Bool) {
        table = RoleTable(roles, cases: cases)
        baton = isSimulated ? Baton(roles.count) : nil
        self.kernel = kernel
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        if let baton { kernel.whenIdle { baton.pass() } }
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// What the first role's thread does now and then while it waits for its turn.
    func watch(_ action: @escaping () -> Void) { baton?.watch = action }

    /// Starts a role; false where no thread could be had.
    func start(_ number: Int, _ role: String, _ body: @escaping () throws(ErrorValue) -> Void) -> Bool {
        let thread = startThread { [baton, table] in
            baton?.take(number)
            var reason = "it has ended"
            do throws(ErrorValue) { try body() } catch { reason = error.line }
            table.leave(role, because: reason)
            baton?.leave()
        }
        guard let thread else { return false }
        threads.append(thread)
        return true
    }

    /// Remembers a role's state, so that it can be interrupted.
    func add(_ state: LuaState) {
        pthread_mutex_lock(mutex)
        states.append(state)
        pthread_mutex_unlock(mutex)
    }

    /// What roles have changed.
    private(set) var effects: [Effect: [String]] = [:]

    /// Tells what a role has changed.
    func add(_ used: [Effect: [String]]) {
        pthread_mutex_lock(mutex)
        effects.merge(used) { Array(Set($0 + $1)) }
        pthread_mutex_unlock(mutex)
    }

    /// Tells what a role has left open.
    func leave(open: [String]) {
        pthread_mutex_lock(mutex)
        self.open += open
        pthread_mutex_unlock(mutex)
    }

    /// What roles' finalizers raised that is no case's.
    private(set) var failures: [FurtherFailure] = []
    /// What the collector was refused when it closed objects of roles.
    private(set) var collecting: [String] = []

    /// Tells what failed at a role's end.
    func leave(collecting: [String], _ failures: [FurtherFailure]) {
        pthread_mutex_lock(mutex)
        self.collecting += collecting
        self.failures += failures
        pthread_mutex_unlock(mutex)
    }

    /// Whether a role's script drew from `math.random`; known once all are done.
    var drewRandom: Bool { states.contains { $0.drewRandom } }

    /// Stops every role's script as Ctrl-C stops the first's.
    func interrupt(_ why: LuaState.Stop) {
        pthread_mutex_lock(mutex)
        for state in states { state.interrupt(why) }
        pthread_mutex_unlock(mutex)
    }

    /// Waits until all are done. The first role runs nothing any more.
    func finish() {
        baton?.leave()
        for thread in threads { pthread_join(thread, nil) }
        kernel.whenIdle(nil)
    }
}

extension CaseResult {
    /// One result of all roles': what a role failed of itself comes before what it failed for another's sake.
    static func merged(_ results: [String: CaseResult], _ roles: [String], leader: CaseResult) -> CaseResult {
        let all = roles.compactMap { role in results[role].map { (role: role, result: $0) } }
        func first(_ verdict: Verdict, ofPeer: Bool) -> (role: String, result: CaseResult)? {
            all.first { $0.result.verdict == verdict && ($0.result.error?.kind == "peer") == ofPeer }
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
            if role != worst, result.verdict == .fail, result.error?.kind != "peer" {
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
