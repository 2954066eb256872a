/// Judges whether a guest has to be ended: by the clock, by interrupts, and by the processor time of its emulator. It is
/// told what happens and looks at nothing itself.
struct GuestWatch {
    /// Why a guest is ended by force.
    enum Stop: Equatable, Sendable {
        /// User space was not reached in time.
        case bootTimeout
        /// QEMU used no processor time for a minute: even an idle guest does.
        case standstill
        /// The command did not end in time after an interrupt, or there was a second one, or one before the guest was up.
        case interrupted
        /// The job's time was over.
        case timeLimit
    }

    /// How long a command may take to end after an interrupt.
    static let grace: Duration = .seconds(10)
    private static let longestStandstill: Duration = .seconds(60)

    let bootTimeout: Duration
    /// How long the guest may be there from the moment that user space was reached.
    let timeLimit: Duration
    private let begin: ContinuousClock.Instant
    private var started: ContinuousClock.Instant?
    private(set) var interrupted: ContinuousClock.Instant?
    private var used: (time: UInt64?, since: ContinuousClock.Instant)

    init(bootTimeout: Duration, timeLimit: Duration, begin: ContinuousClock.Instant) {
        self.bootTimeout = bootTimeout
        self.timeLimit = timeLimit
        self.begin = begin
        used = (nil, begin)
    }

    /// Whether user space was reached.
    var hasStarted: Bool { started != nil }

    /// User space was reached.
    mutating func start(at now: ContinuousClock.Instant) { started = now }

    /// What the emulator has used of the processors, in any unit; nil where that cannot be read.
    mutating func uses(_ time: UInt64?, at now: ContinuousClock.Instant) {
        if time != used.time || time == nil { used = (time, now) }
    }

    /// Whether the guest has to be told of an interrupt now: of the first one, once it is up. `count` is how often the
    /// user has asked to stop.
    mutating func passesOn(interrupts count: Int, at now: ContinuousClock.Instant) -> Bool {
        guard count == 1, interrupted == nil, started != nil else { return false }
        interrupted = now
        return true
    }

    /// Why it has to be ended now; nil where it may go on.
    func stop(interrupts count: Int, at now: ContinuousClock.Instant) -> Stop? {
        if count > 1 || count == 1 && started == nil { return .interrupted }
        if let interrupted, interrupted.duration(to: now) > GuestWatch.grace { return .interrupted }
        guard let started else { return begin.duration(to: now) > bootTimeout ? .bootTimeout : nil }
        if started.duration(to: now) > timeLimit { return .timeLimit }
        return max(used.since, started).duration(to: now) > GuestWatch.longestStandstill ? .standstill : nil
    }
}
