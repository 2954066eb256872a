import CKernel

/// One process of a batch: what it runs, and what it may use.
public struct BatchTask: Sendable {
    /// What reports call it; of each attempt the same.
    public let id: String
    /// Wall-clock seconds after which it is told to end.
    public var timeout: Double
    /// Bytes of memory, private and resident; 0 for no limit.
    public var memory: UInt64
    /// Bytes that its script may have of that; nil where nobody says.
    public var scriptMemory: UInt64?
    /// Bytes that it may print.
    public var output: UInt64
    /// What its process is to do; a value of the caller's.
    public let index: Int

    /// Whether its process runs a scenario. Its result is lines without control characters, so that ``waits`` and ``begins`` may
    /// come anywhere; and SIGALRM tells it that its time is over, a second one to say where its script is. Others get SIGINT.
    public var runsScenario = false
    /// What it may take, in words that name what says so; nil where nobody knows.
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

    /// At most as many bytes as are kept, whatever is no UTF-8 replaced.
    public var text: String { String(decoding: kept.suffix(limit), as: UTF8.self) }
}
