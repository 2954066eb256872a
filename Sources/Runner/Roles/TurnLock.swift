import CKernel

/// Lets one of several threads run at a time, in turn: who has nothing to do passes the turn on.
final class TurnLock: @unchecked Sendable {
    private let lock = ConditionLock()
    private var alive: [Bool]
    /// Whose turn it is.
    private var holder = 0
    /// What the first thread does now and then while it waits.
    var watch: (() -> Void)?
    /// How often that is, nanoseconds.
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

    /// A thread waits for its turn, first of all.
    func take(_ number: Int) {
        lock.withLock { while holder != number { lock.wait() } }
    }

    /// The thread whose turn it is lets the others run, and waits until it is its turn again.
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

    /// The thread whose turn it is runs no more.
    func leave() {
        lock.withLock {
            alive[holder] = false
            next()
        }
    }
}
