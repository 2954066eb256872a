/// One process of a batch: what it runs, and what it may use.
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
