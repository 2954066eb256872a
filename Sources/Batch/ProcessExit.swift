import CKernel

/// How a task's process ended.
public struct ProcessExit: Sendable {
    /// Exit code of a process that got no more memory: CKernel's PROCESS_OUT_OF_MEMORY.
    public static let outOfMemory = Int32(PROCESS_OUT_OF_MEMORY)

    /// Why a process was ended from outside.
    public enum Reason: String, Sendable {
        /// It exceeded its time.
        case timeout
        /// It exceeded its memory.
        case memory
        /// It exceeded its output.
        case output
        /// Its result was larger than is taken.
        case result
        /// Ctrl-C or SIGTERM.
        case interrupted
    }
    /// Why it was ended; nil where it ended by itself.
    public var reason: Reason?
    /// Its exit code; nil where a signal ended it.
    public var exit: Int32?
    /// The signal that ended it.
    public var signal: Int32?
    /// The bytes it wrote to its result descriptor.
    public var result: [UInt8] = []
    /// The end of its standard output, and the total length.
    public var output = Tail(limit: 16 << 10)
    /// The end of its standard error, and the total length.
    public var errors = Tail(limit: 16 << 10)
    /// Nanoseconds from its start to its end.
    public var wall: UInt64 = 0
    /// Nanoseconds of processor time.
    public var cpu: UInt64 = 0
    /// Peak resident memory in bytes, including what it inherited at the fork.
    public var maxResident: UInt64 = 0

    /// Of a process that has not ended.
    public init() {}
}
