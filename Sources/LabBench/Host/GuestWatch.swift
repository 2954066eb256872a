/// Decides when a guest has to be ended: by time limits, interrupts and silence. All its inputs are arguments of its
/// functions.
struct GuestWatch {
    /// Why a guest is ended by force.
    enum Stop: Equatable, Sendable {
        /// User space was not reached in time.
        case bootTimeout
        /// Nothing came from it for ``longestSilence``, though its init sends a frame every second.
        case silence
        /// The command did not end in time after an interrupt, or there was a second one, or one before the guest was up.
        case interrupted
        /// The job's time limit was reached.
        case timeLimit
    }

    /// Time for a command to end after an interrupt.
    static let grace: Duration = .seconds(10)
    /// Limit of a guest's silence.
    static let longestSilence: Duration = .seconds(30)
    /// Most silence that one call of `look` adds: this process may have been stopped since the last one, or have waited
    /// for a reader of its output.
    private static let longestLook: Duration = .seconds(1)

    let bootTimeout: Duration
    /// Time limit of the guest, counted from when user space was reached.
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

    /// Notes that user space was reached.
    mutating func start(at now: ContinuousClock.Instant) {
        started = now
        silence = .zero
    }

    /// Notes that the guest has sent something.
    mutating func hear() { silence = .zero }

    /// Adds the time since the last call to the silence.
    mutating func look(at now: ContinuousClock.Instant) {
        silence += min(looked.duration(to: now), GuestWatch.longestLook)
        looked = now
    }

    /// Whether an interrupt has to be sent to the guest now: the first one, once the guest is up. `count`: how often
    /// the user has asked to stop.
    mutating func passesOn(interrupts count: Int, at now: ContinuousClock.Instant) -> Bool {
        guard count == 1, interrupted == nil, started != nil else { return false }
        interrupted = now
        return true
    }

    /// Why the guest has to be ended now; nil where it may continue.
    func stop(interrupts count: Int, at now: ContinuousClock.Instant) -> Stop? {
        if count > 1 || count == 1 && started == nil { return .interrupted }
        if let interrupted, interrupted.duration(to: now) > GuestWatch.grace { return .interrupted }
        guard let started else { return begin.duration(to: now) > bootTimeout ? .bootTimeout : nil }
        if started.duration(to: now) > timeLimit { return .timeLimit }
        return silence > GuestWatch.longestSilence ? .silence : nil
    }
}
