/// One process of a batch: its name and its limits.
public struct BatchTask: Sendable {
    /// Its name in reports, the same for every attempt.
    public let id: String
    /// Wall-clock seconds after which it is asked to end.
    public var timeout: Double
    /// Limit of private resident memory in bytes; 0 for none.
    public var memory: UInt64
    /// Its script's share of ``memory``, in bytes; nil where no limit is set for the script.
    public var scriptMemory: UInt64?
    /// Bytes that it may print.
    public var output: UInt64
    /// Bytes that its result may have.
    public var result: Int = 64 << 20
    /// Passed to the process's body; the caller chooses its meaning.
    public let index: Int

    /// Whether its process runs a scenario. A scenario's result consists of lines without control characters, so the
    /// bytes ``waits`` and ``begins`` may come anywhere in it. SIGALRM ends its time; a second one asks for its
    /// script's position. Other processes get SIGINT.
    public var runsScenario = false
    /// The time limit, with the option or file that sets it, for messages; nil where unknown.
    public var timeLimit: String?

    /// A byte in a scenario's result: the process waits for devices; its time does not run meanwhile.
    public static let waits: UInt8 = 5
    /// A byte in a scenario's result: the process has its devices; its time begins.
    public static let begins: UInt8 = 6

    /// The process's name for ps(1): the file's name without folder and extension.
    var name: String {
        let file = id.prefix { $0 != "[" && $0 != "#" }.split(separator: "/").last ?? ""
        return String(file.hasSuffix(".lua") ? file.dropLast(4) : file)
    }

    /// ``timeout`` in nanoseconds. It may be any number, as a scenario may set it.
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
