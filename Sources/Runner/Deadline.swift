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
        /// Without its cases, which are added one by one: a copy of all with each would cost more with each.
        var result: ScenarioResult?
        var cases: [CaseResult] = []
        var hasThread = false
    }
    private let watched = Mutex(Watched())
    private let condition = Signal()
    private let end: @Sendable (ScenarioResult?) -> Never

    /// What a script has that was told to end, to release its devices; nanoseconds.
    private static let grace: UInt64 = 2_000_000_000

    /// `end` is called in a thread of its own.
    public init(end: @escaping @Sendable (ScenarioResult?) -> Never) { self.end = end }

    /// The time begins: `seconds` from now on, nil for as long as it takes.
    func begin(_ seconds: Double?) {
        watched.withLock {
            $0.isRunning = true
            $0.isTold = false
            $0.deadline = .max
            $0.result = nil
            $0.cases = []
        }
        if let seconds { limit(seconds) }
    }

    /// It has no more than so many seconds from now on.
    func limit(_ seconds: Double) {
        let needsThread = watched.withLock { watched in
            watched.deadline = min(watched.deadline, Deadline.now &+ UInt64(seconds * 1e9))
            defer { watched.hasThread = true }
            return !watched.hasThread
        }
        if needsThread { _ = startThread { [self] in watch() } }
        condition.wake()
    }

    /// What to tell where the process must be ended now: a result whose latest case is `one`.
    func note(_ result: ScenarioResult, adding one: CaseResult? = nil) {
        var result = result
        result.cases = []
        watched.withLock {
            $0.result = result
            if let one { $0.cases.append(one) }
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

    private static func stuck(_ result: ScenarioResult) -> ScenarioResult {
        var result = result
        var one = CaseResult(name: "an end in time", verdict: .fail, duration_ns: 0)
        one.message = "its time was over, and it could not be stopped"
        result.cases.append(one)
        result.verdict = .fail
        return result
    }

    private func watch() {
        while true {
            condition.wait(until: watched.withLock(\.deadline))
            let now = Deadline.now
            let (isLate, isTold, result) = watched.withLock { watched -> (Bool, Bool, ScenarioResult?) in
                let isLate = watched.isRunning && now >= watched.deadline
                defer {
                    if isLate {
                        watched.isTold = true
                        watched.deadline = now + Deadline.grace
                    }
                }
                // All its cases are needed at its end alone.
                guard isLate, watched.isTold, var result = watched.result else { return (isLate, watched.isTold, nil) }
                result.cases = watched.cases
                return (isLate, true, result)
            }
            if isLate, isTold { end(result.map(Deadline.stuck)) }
            if isLate { LuaState.endTime() }
        }
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
