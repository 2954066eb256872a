import CKernel

/// Lets one of several threads run at a time, in turn: a thread that waits for something passes the turn on.
final class TurnLock: @unchecked Sendable {
    private let lock = ConditionLock()
    private var alive: [Bool]
    /// Number of the thread that runs.
    private var holder = 0
    /// Called regularly by the first thread while it waits.
    var watch: (() -> Void)?
    /// Interval of these calls, nanoseconds.
    private static let glance: UInt64 = 50_000_000

    /// The first of `count` threads has the first turn.
    init(_ count: Int) { alive = [Bool](repeating: true, count: count) }

    private func next() {
        for step in 1...alive.count where alive[(holder + step) % alive.count] {
            holder = (holder + step) % alive.count
            break
        }
        lock.broadcast()
    }

    /// Waits for this thread's first turn.
    func take(_ number: Int) {
        lock.withLock { while holder != number { lock.wait() } }
    }

    /// Passes the turn on, and waits for the next one.
    func pass() {
        lock.withLock {
            let number = holder
            next()
            while holder != number {
                guard number == 0, let watch else {
                    lock.wait()
                    continue
                }
                lock.wait(until: sys_monotonic() &+ TurnLock.glance)
                watch()
            }
        }
    }

    /// Passes the turn on for good.
    func leave() {
        lock.withLock {
            alive[holder] = false
            next()
        }
    }
}
