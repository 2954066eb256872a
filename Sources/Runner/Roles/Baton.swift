import Glibc

extension timespec {
    /// The time of day in so many nanoseconds, less than a second.
    init(in nanoseconds: Int) {
        self.init()
        clock_gettime(CLOCK_REALTIME, &self)
        tv_nsec += nanoseconds
        if tv_nsec >= 1_000_000_000 {
            tv_nsec -= 1_000_000_000
            tv_sec += 1
        }
    }
}

/// Lets one of several threads run at a time, in turn: who has nothing to do passes it on.
final class Baton: @unchecked Sendable {
    private var alive: [Bool]
    private var holder = 0
    /// What the first thread does now and then while it waits.
    var watch: (() -> Void)?
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// The first of `count` threads has it.
    init(_ count: Int) {
        alive = [Bool](repeating: true, count: count)
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        condition.deallocate()
    }

    private func locked(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_mutex_unlock(mutex)
    }

    private func next() {
        for step in 1...alive.count where alive[(holder + step) % alive.count] {
            holder = (holder + step) % alive.count
            break
        }
        pthread_cond_broadcast(condition)
    }

    /// Waits for it, first of all.
    func take(_ number: Int) {
        locked { while holder != number { pthread_cond_wait(condition, mutex) } }
    }

    /// The holder lets the others run, and waits until it is its turn again.
    func pass() {
        locked {
            let number = holder
            next()
            while holder != number {
                guard number == 0, let watch else {
                    pthread_cond_wait(condition, mutex)
                    continue
                }
                var time = timespec(in: 50_000_000)
                pthread_cond_timedwait(condition, mutex, &time)
                watch()
            }
        }
    }

    /// The holder runs no more.
    func leave() {
        locked {
            alive[holder] = false
            next()
        }
    }
}
