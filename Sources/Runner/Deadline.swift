import Glibc
import LuaKit
import Synchronization

/// Ends what takes longer than it may. First the script is told, as Ctrl-C tells it; where that does not help within some
/// seconds (a pattern that backtracks, a call that never returns), `end` gets what was found so far and ends the process:
/// the kernel closes what was open.
public final class Deadline: Sendable {
    private struct Watched {
        var isRunning = false
        var deadline: UInt64 = .max
        var isTold = false
        /// What it may take, in words.
        var limit = ""
        var progress = RunProgress()
        var hasThread = false
    }
    private let watched = Mutex(Watched())
    private let condition = Signal()
    private let end: @Sendable (ScenarioResult?, String) -> Never

    /// What a script has that was told to end, to release its devices; nanoseconds.
    private static let grace: UInt64 = 2_000_000_000

    /// `end` is called in a thread of its own, with what is known of the run and a line that says what happened where.
    public init(end: @escaping @Sendable (ScenarioResult?, String) -> Never) { self.end = end }

    /// The time begins: `seconds` from now on, nil for as long as it takes.
    func begin(_ seconds: Double?) {
        watched.withLock {
            $0.isRunning = true
            $0.isTold = false
            $0.deadline = .max
            $0.progress = RunProgress()
        }
        if let seconds { limit(seconds, isScenarios: false) }
    }

    /// It has no more than so many seconds from now on, as the scenario or the command line says.
    func limit(_ seconds: Double, isScenarios: Bool) {
        let needsThread = watched.withLock { watched in
            let end = Deadline.now &+ UInt64(seconds * 1e9)
            if end < watched.deadline {
                watched.deadline = end
                watched.limit = Limits.text(seconds, isScenarios: isScenarios)
            }
            defer { watched.hasThread = true }
            return !watched.hasThread
        }
        if needsThread { _ = startThread { [self] in watch() } }
        condition.wake()
    }

    /// What to tell where the process must be ended now.
    func take(_ event: RunEvent) {
        watched.withLock {
            $0.progress.take(event)
            // The script was stopped, and what it did not come to is being told.
            if $0.isTold, $0.isRunning { $0.deadline = Deadline.now + Deadline.grace }
        }
    }

    /// It has ended in time.
    func finish() {
        watched.withLock {
            $0.isRunning = false
            $0.deadline = .max
        }
    }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private func watch() {
        while true {
            condition.wait(until: watched.withLock(\.deadline))
            let now = Deadline.now
            let (isLate, stuck) = watched.withLock { watched -> (Bool, (RunProgress, String)?) in
                guard watched.isRunning, now >= watched.deadline else { return (false, nil) }
                defer { watched.isTold = true }
                watched.deadline = now + Deadline.grace
                return (true, watched.isTold ? (watched.progress, watched.limit) : nil)
            }
            if let (progress, limit) = stuck { end(progress, limit) }
            if isLate { LuaState.endTime() }
        }
    }

    private func end(_ progress: RunProgress, _ limit: String) -> Never {
        let position = LuaState.stuckPosition()
        let death = RunProgress.Death(
            kind: "timeout", "its time is over: \(limit), and it could not be stopped", position: position)
        end(progress.ended(by: death), "\(position)\(progress.place): \(death.message)")
    }
}

/// A condition that one thread waits for and others signal.
private final class Signal: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isWoken = false

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func wake() {
        pthread_mutex_lock(mutex)
        isWoken = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Until the monotonic clock says `nanoseconds`, or somebody wakes it.
    func wait(until nanoseconds: UInt64) {
        pthread_mutex_lock(mutex)
        var time = timespec(
            tv_sec: Int(clamping: nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        var result: Int32 = 0
        while !isWoken, result != ETIMEDOUT {
            result =
                nanoseconds == .max
                ? pthread_cond_wait(condition, mutex) : pthread_cond_timedwait(condition, mutex, &time)
        }
        isWoken = false
        pthread_mutex_unlock(mutex)
    }
}
