/// Decides when a guest has to be ended: by time limits, interrupts and silence. It gets all events by calls and
/// looks at nothing itself.
struct GuestWatch {
    /// Why a guest is ended by force.
    enum Stop: Equatable, Sendable {
        /// User space was not reached in time.
        case bootTimeout
        /// Nothing was heard of it for ``longestSilence``: its first program tells each second that it runs.
        case silence
        /// The command did not end in time after an interrupt, or there was a second one, or one before the guest was up.
        case interrupted
        /// The job's time was over.
        case timeLimit
    }

    /// How long a command may take to end after an interrupt.
    static let grace: Duration = .seconds(10)
    /// How long a guest may say nothing.
    static let longestSilence: Duration = .seconds(30)
    /// The most silence that one look adds. This process may have been stopped since the last look, or have waited
    /// for a reader of its output.
    private static let longestLook: Duration = .seconds(1)

    let bootTimeout: Duration
    /// How long the guest may be there from the moment that user space was reached.
    let timeLimit: Duration
    private let begin: ContinuousClock.Instant
    private var started: ContinuousClock.Instant?
    private(set) var interrupted: ContinuousClock.Instant?
    private var silence: Duration = .zero
    private var looked: ContinuousClock.Instant

    init(bootTimeout: Duration, timeLimit: Duration, begin: ContinuousClock.Instant) {
        self.bootTimeout = bootTimeout
        self.timeLimit = timeLimit
        self.begin = begin
        looked = begin
    }

    /// Whether user space was reached.
    var hasStarted: Bool { started != nil }

    /// User space was reached.
    mutating func start(at now: ContinuousClock.Instant) {
        started = now
        silence = .zero
    }

    /// Something came from it.
    mutating func hear() { silence = .zero }

    /// Looks at the clock.
    mutating func look(at now: ContinuousClock.Instant) {
        silence += min(looked.duration(to: now), GuestWatch.longestLook)
        looked = now
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
        return silence > GuestWatch.longestSilence ? .silence : nil
    }
}
