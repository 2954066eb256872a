import CKernel

/// How a task's process ended.
public struct ProcessExit: Sendable {
    /// What a process exits with that could have no more memory: CKernel's PROCESS_OUT_OF_MEMORY.
    public static let outOfMemory = Int32(PROCESS_OUT_OF_MEMORY)

    /// Why it was ended from outside.
    public enum Reason: String, Sendable {
        /// It took longer than its time.
        case timeout
        /// It had more memory than it may.
        case memory
        /// It printed more than it may.
        case output
        /// Ctrl-C or SIGTERM.
        case interrupted
    }
    /// What it was ended for; nil where it ended by itself.
    public var reason: Reason?
    /// What it exited with; nil where a signal ended it.
    public var exit: Int32?
    /// The signal that ended it.
    public var signal: Int32?
    /// What it reported.
    public var result: [UInt8] = []
    /// The end of what it printed, and how much it was.
    public var output = Tail(limit: 16 << 10)
    /// The same of its errors.
    public var errors = Tail(limit: 16 << 10)
    /// Nanoseconds from its start to its end.
    public var wall: UInt64 = 0
    /// Nanoseconds of processor time.
    public var cpu: UInt64 = 0
    /// The most memory that was resident, bytes; what it was forked with included.
    public var maxResident: UInt64 = 0

    /// One that has not ended.
    public init() {}
}
