import CKernel
import Glibc
import LuaKit
import Synchronization

/// Ends what takes longer than it may. First the script is told, as Ctrl-C tells it; where that does not help within some
/// seconds (a pattern that backtracks, a call that never returns), `end` gets what was found so far and ends the process:
/// the kernel closes what was open. The same where a signal has asked the script to end.
public final class Deadline: Sendable {
    /// A run that could not be stopped.
    public struct Stuck: Sendable {
        /// What is known of it; nil where nothing is.
        public let result: ScenarioResult?
        /// How many of its cases had ended.
        public let ended: Int
        /// Why it had to be.
        public let death: RunProgress.Death
        /// A line that says what happened where.
        public let reason: String
    }

    private struct Watched {
        var isRunning = false
        var deadline: UInt64 = .max
        var isTold = false
        /// What it may take, in words; nil where a signal asked it to end.
        var limit: String?
        var progress = RunProgress()
        var hasThread = false
    }
    private let watched = Mutex(Watched())
    /// Under it nothing but waiting for a new limit is done.
    private let change = ConditionLock()
    private let hasChanged = Atomic(false)
    private let end: @Sendable (Stuck) -> Never

    /// What a script has that was told to end, to release its devices; nanoseconds.
    private static let grace: UInt64 = 2_000_000_000
    /// The same of one that a signal asked to end, which may wait for other roles' ends; and how often it is looked for signals.
    private static let graceOfSignals: UInt64 = 6_000_000_000, glance: UInt64 = 500_000_000

    /// `end` is called in a thread of its own.
    public init(end: @escaping @Sendable (Stuck) -> Never) { self.end = end }

    /// The time begins: `seconds` from now on, nil for as long as it takes.
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

    /// It has no more than so many seconds from now on, as the scenario or the command line says.
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

    /// What to tell where the process must be ended now.
    func take(_ event: RunEvent) {
        watched.withLock {
            $0.progress.take(event)
            // The script was stopped, and what it did not come to is being told.
            if $0.isTold, $0.isRunning { $0.deadline = sys_monotonic() + Deadline.grace(of: $0) }
        }
    }

    /// It has ended in time.
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

    /// A script that a signal has told to end has some time for that.
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
