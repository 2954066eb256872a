/// How long one client may let the server wait for memory that has no file, as no other function works meanwhile. Each
/// call of a function's ``PCIFunction/work()`` may wait for ``ordinary``. What it waits beyond that is taken from an
/// allowance, which grows back by a tenth of the time that passes. When the allowance is used up, requests fail at
/// once. All times are nanoseconds of the monotonic clock.
struct WaitAllowance {
    /// What one call of `work()` may wait for without using the allowance.
    static let ordinary: UInt64 = 250_000_000
    private static let growth: UInt64 = 10

    private var waited: UInt64 = 0
    /// How much of the allowance is used, at the time of the last look.
    private var used: UInt64 = 0
    private var time: UInt64 = 0

    /// A function begins to work.
    mutating func begin() { waited = 0 }

    /// How long a request may wait, of an allowance.
    mutating func left(of allowance: UInt64, at now: UInt64) -> UInt64 {
        let passed = now > time ? now - time : 0
        used -= min(used, passed / WaitAllowance.growth)
        time = now
        let ordinary = WaitAllowance.ordinary - min(WaitAllowance.ordinary, waited)
        let left = allowance - min(allowance, used)
        return min(allowance, left.addingReportingOverflow(ordinary).overflow ? .max : left + ordinary)
    }

    /// A request has waited.
    mutating func spend(_ nanoseconds: UInt64) {
        let ordinary = WaitAllowance.ordinary - min(WaitAllowance.ordinary, waited)
        waited = waited.addingReportingOverflow(nanoseconds).overflow ? .max : waited + nanoseconds
        let over = nanoseconds - min(nanoseconds, ordinary)
        used = used.addingReportingOverflow(over).overflow ? .max : used + over
    }
}
