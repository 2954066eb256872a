import Commands
import Glibc

/// Follows a guest through its job directory: passes output on, watches the clock and passes interrupts on.
struct LabWatch: ~Copyable {
    /// Why the watch ended; all but `ended` ask for QEMU to be killed.
    enum Stop: Sendable {
        /// QEMU ended by itself.
        case ended
        /// The command ended, but the guest did not power off.
        case powerOffTimeout
        /// User space was not reached in time.
        case bootTimeout
        /// QEMU used no processor time for a minute: even an idle guest does.
        case standstill
        /// The command did not end in time after an interrupt, or there was a second one.
        case interrupted
    }

    private static let grace: Duration = .seconds(10)

    private let job: LabJob
    private let bootTimeout: Duration
    private static let patience: Duration = .seconds(60)
    /// What QEMU has used of the processor, in any unit; nil where that cannot be read.
    private let processorTime: @Sendable () -> UInt64?
    private var used: (time: UInt64?, since: ContinuousClock.Instant, looked: ContinuousClock.Instant)
    private let begin = ContinuousClock.now
    private var started: ContinuousClock.Instant?
    private var interrupted: ContinuousClock.Instant?
    private var exited: ContinuousClock.Instant?
    private var output: Tap
    private var errors: Tap

    /// A watch over the guest that does `job`, which has just been started.
    init(job: LabJob, bootTimeout: Duration, processorTime: @escaping @Sendable () -> UInt64?) {
        self.job = job
        self.bootTimeout = bootTimeout
        self.processorTime = processorTime
        used = (nil, .now, .now)
        output = Tap(path: job.path("stdout"), descriptor: STDOUT_FILENO)
        errors = Tap(path: job.path("stderr"), descriptor: STDERR_FILENO)
    }

    /// Returns when the guest has to be ended, or its task is cancelled because QEMU ended. `tell` sends a word to
    /// guest-init.
    mutating func untilStop(_ interrupts: () -> Int, tell: (String) async -> Void) async -> Stop {
        while !Task.isCancelled {
            passOutput()
            note()
            if interrupts() > (interrupted == nil ? 0 : 1) {
                guard started != nil, interrupted == nil else { return .interrupted }
                interrupted = .now
                await tell("interrupt")
            }
            if let stop = overdue() {
                await report(stop, tell)
                passOutput()
                return stop
            }
            try? await Task.sleep(for: .milliseconds(30))
        }
        passOutput()
        return .ended
    }

    private mutating func passOutput() {
        output.pass()
        errors.pass()
    }

    private mutating func note() {
        if started == nil, job.has("started") { started = .now }
        if exited == nil, job.has("exit") { exited = .now }
    }

    private mutating func overdue() -> Stop? {
        if let exited { return exited.duration(to: .now) > Self.grace ? .powerOffTimeout : nil }
        if let interrupted, interrupted.duration(to: .now) > Self.grace { return .interrupted }
        guard let started else { return begin.duration(to: .now) > bootTimeout ? .bootTimeout : nil }
        return isStandingStill(since: started) ? .standstill : nil
    }

    private mutating func isStandingStill(since started: ContinuousClock.Instant) -> Bool {
        guard used.looked.duration(to: .now) > .seconds(1) else { return false }
        used.looked = .now
        let time = processorTime()
        if time != used.time || time == nil { used = (time, .now, .now) }
        return max(used.since, started).duration(to: .now) > LabWatch.patience
    }

    /// Where a command hangs in the kernel, the stacks of the blocked tasks say where.
    private borrowing func report(_ stop: Stop, _ tell: (String) async -> Void) async {
        guard stop == .interrupted else { return }
        await tell("report")
        try? await Task.sleep(for: .seconds(1))
    }
}

/// Passes on what is appended to a file that may not be there yet.
private struct Tap: ~Copyable {
    private let path: String
    private let descriptor: Int32
    private var file: Follower?

    init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    mutating func pass() {
        if file == nil { file = Follower(path) }
        if let bytes = file?.next(), !bytes.isEmpty { writeAll(bytes, to: descriptor) }
    }
}
