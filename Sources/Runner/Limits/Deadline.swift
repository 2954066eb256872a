import CKernel
import Glibc
import LuaKit
import Synchronization

/// Ends runs that exceed their time. First the script is stopped with an error, as by Ctrl-C. Where it does not end
/// within seconds (a pattern that backtracks, a call that never returns), `end` gets the findings so far and ends the
/// process; the kernel then closes everything. The same applies after a signal that asks the script to end.
public final class Deadline: Sendable {
    /// A run that could not be stopped.
    public struct Stuck: Sendable {
        /// Its result so far; nil where nothing is known.
        public let result: ScenarioResult?
        /// Number of its cases that had ended.
        public let ended: Int
        /// Why it was ended.
        public let death: RunProgress.Death
        /// The reason and the place, as a line.
        public let reason: String
    }

    private struct Watched {
        var isRunning = false
        var deadline: UInt64 = .max
        var isTold = false
        /// The limit as text; nil where a signal asked the script to end.
        var limit: String?
        var progress = RunProgress()
        var hasThread = false
    }
    private let watched = Mutex(Watched())
    /// Used only for waiting until the limit changes.
    private let change = ConditionLock()
    private let hasChanged = Atomic(false)
    private let end: @Sendable (Stuck) -> Never

    /// Time for a stopped script to release its devices, nanoseconds.
    private static let grace: UInt64 = 2_000_000_000
    /// The same after a signal, when a role may wait for the other roles' end; and the interval of the checks for
    /// signals.
    private static let graceOfSignals: UInt64 = 6_000_000_000, glance: UInt64 = 500_000_000

    /// `end` is called in a thread of its own.
    public init(end: @escaping @Sendable (Stuck) -> Never) { self.end = end }

    /// Begins a run with a limit of `seconds` from now on; nil for none.
    func begin(_ seconds: Double?) {
        watched.withLock {
            $0.isRunning = true
            $0.isTold = false
            $0.deadline = .max
            $0.progress = RunProgress()
        }
        watchFromNow()
        if let seconds { limit(seconds, isScenarios: false) }
    }

    /// Sets a limit of `seconds` from now on, where that is earlier; `isScenarios`: from the scenario, else from the
    /// command line.
    func limit(_ seconds: Double, isScenarios: Bool) {
        watched.withLock { watched in
            let end = sys_monotonic() &+ UInt64(seconds * 1e9)
            if end < watched.deadline {
                watched.deadline = end
                watched.limit = Limits.text(seconds, isScenarios: isScenarios)
            }
        }
        change.withLock {
            hasChanged.store(true, ordering: .relaxed)
            change.broadcast()
        }
    }

    private func watchFromNow() {
        let hasThread = watched.withLock { watched in
            defer { watched.hasThread = true }
            return watched.hasThread
        }
        if !hasThread { _ = startThread { [self] in watch() } }
    }

    /// Adds an event of the run, for its result where it must be ended.
    func take(_ event: RunEvent) {
        watched.withLock {
            $0.progress.take(event)
            // The stopped script is still reporting: it gets more time with each event.
            if $0.isTold, $0.isRunning { $0.deadline = sys_monotonic() + Deadline.grace(of: $0) }
        }
    }

    /// Ends the watch of a run that has ended in time.
    func finish() {
        watched.withLock {
            $0.isRunning = false
            $0.deadline = .max
        }
    }

    private static func grace(of watched: Watched) -> UInt64 { watched.limit == nil ? graceOfSignals : grace }

    private func watch() {
        while true {
            let next = min(watched.withLock(\.deadline), sys_monotonic() + Deadline.glance)
            change.withLock {
                while !hasChanged.exchange(false, ordering: .relaxed), change.wait(until: next) {}
            }
            obeySignals()
            let now = sys_monotonic()
            let (isLate, stuck) = watched.withLock { watched -> (Bool, (RunProgress, String?)?) in
                guard watched.isRunning, now >= watched.deadline else { return (false, nil) }
                defer { watched.isTold = true }
                watched.deadline = now + Deadline.grace(of: watched)
                return (true, watched.isTold ? (watched.progress, watched.limit) : nil)
            }
            if let (progress, limit) = stuck { end(progress, limit) }
            if isLate { LuaState.endTime() }
        }
    }

    /// After a signal, sets the time that the script has to end.
    private func obeySignals() {
        guard LuaState.wasAskedToEnd else { return }
        watched.withLock { watched in
            guard watched.isRunning, !watched.isTold else { return }
            watched.isTold = true
            watched.limit = nil
            watched.deadline = sys_monotonic() + Deadline.graceOfSignals
        }
    }

    private func end(_ progress: RunProgress, _ limit: String?) -> Never {
        let position = LuaState.stuckPosition()
        let death: RunProgress.Death
        if let limit {
            death = RunProgress.Death(
                kind: .timeout, "its time is over: \(limit), and it could not be stopped", position: position)
        } else {
            let seconds = Deadline.graceOfSignals / 1_000_000_000
            death = RunProgress.Death(
                kind: .interrupt, "interrupted, and it could not be stopped within \(seconds) s",
                verdict: .interrupted, position: position)
        }
        end(
            Stuck(
                result: progress.ended(by: death), ended: progress.ended, death: death,
                reason: "\(position)\(progress.stage): \(death.message)"))
    }
}
