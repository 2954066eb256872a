import CKernel

/// One process of a batch: what it runs, and its limits.
public struct BatchTask: Sendable {
    /// Its name in reports; every attempt has the same.
    public let id: String
    /// Wall-clock seconds after which it is told to end.
    public var timeout: Double
    /// Bytes of memory, private and resident; 0 for no limit.
    public var memory: UInt64
    /// Bytes of ``memory`` that its script may have; nil where no script's limit is set.
    public var scriptMemory: UInt64?
    /// Bytes that it may print.
    public var output: UInt64
    /// Passed to the body that the process runs; the caller chooses its meaning.
    public let index: Int

    /// Whether its process runs a scenario. A scenario's result is lines without control characters, so that the
    /// bytes ``waits`` and ``begins`` may come anywhere. SIGALRM ends its time; a second one asks where its script
    /// is. Other processes get SIGINT.
    public var runsScenario = false
    /// The time limit, with the option or file that sets it, for messages; nil where that is not known.
    public var timeLimit: String?

    /// A byte in a scenario's result: the process waits for devices, which takes none of its time.
    public static let waits: UInt8 = 5
    /// A byte in a scenario's result: it has its devices and begins.
    public static let begins: UInt8 = 6

    /// What ps(1) calls its process: the file's name without its folder and ending.
    var name: String {
        let file = id.prefix { $0 != "[" && $0 != "#" }.split(separator: "/").last ?? ""
        return String(file.hasSuffix(".lua") ? file.dropLast(4) : file)
    }

    /// ``timeout``, which may be any number: a scenario says it.
    var nanoseconds: UInt64 { UInt64(exactly: (timeout * 1e9).rounded()) ?? (timeout > 0 ? 1 << 62 : 0) }

    /// A task.
    public init(id: String, index: Int, timeout: Double = 300, memory: UInt64 = 0, output: UInt64 = 64 << 20) {
        self.id = id
        self.index = index
        self.timeout = timeout
        self.memory = memory
        self.output = output
    }
}

/// How a task's process ended.
public struct Ending: Sendable {
    /// What a process exits with that could have no more memory: CKernel's PROCESS_OUT_OF_MEMORY.
    public static let outOfMemory = Int32(PROCESS_OUT_OF_MEMORY)

    /// Why the batch ended it.
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
    /// Why the batch ended it; nil where it ended by itself.
    public var reason: Reason?
    /// Its exit code; nil where a signal ended it.
    public var exit: Int32?
    /// The signal that ended it.
    public var signal: Int32?
    /// What it reported.
    public var result: [UInt8] = []
    /// The last bytes of its standard output, and how many there were.
    public var output = Tail(limit: 16 << 10)
    /// The last bytes of its standard error, and how many there were.
    public var errors = Tail(limit: 16 << 10)
    /// Nanoseconds from its start to its end.
    public var wall: UInt64 = 0
    /// Nanoseconds of processor time.
    public var cpu: UInt64 = 0
    /// The most resident memory, bytes, including what it shares with the process that it was forked from.
    public var maxResident: UInt64 = 0

    /// The end of a process that is still running.
    public init() {}
}

/// The last bytes of a stream.
public struct Tail: Sendable {
    private let limit: Int
    /// Bytes that went by.
    public private(set) var total: UInt64 = 0
    private var kept: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    mutating func add(_ bytes: ArraySlice<UInt8>) {
        total += UInt64(bytes.count)
        kept += bytes.suffix(limit)
        // Twice as much before it is cut, so that little is moved.
        if kept.count > 2 * limit { kept.removeFirst(kept.count - limit) }
    }

    /// The kept bytes as text; invalid UTF-8 is replaced.
    public var text: String { String(decoding: kept.suffix(limit), as: UTF8.self) }
}
