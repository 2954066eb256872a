/// What kind of error it is. Verdicts and exit codes are found by this alone, never by what a message says.
public enum ErrorKind: Hashable, Sendable {
    /// The kernel, a model of it, or libibverbs refused a call.
    case kernel
    /// The API is used wrongly: an argument's type, range or combination.
    case argument
    /// A check of the script's own failed.
    case expectation
    /// The case cannot be tried here; no failure.
    case skip
    /// Ctrl-C or a signal asked the run to end.
    case interrupt
    /// Any other error of Lua's or of the script's.
    case script
    /// The command line, an option's value or the scenario's table is wrong; nothing of it was tried.
    case usage
    /// The scenario does not declare, or the user does not grant, what it tried to change.
    case permission
    /// Another role failed, has left, or did not come in time.
    case peer
    /// The time of the run was over.
    case timeout
    /// A limit on memory was met.
    case memory
    /// The script printed more than it may.
    case output
    /// The bench cannot give what was asked, such as a log of which a part is lost.
    case bench
    /// The case's turn did not come: what ran before it ended the run.
    case notRun
    /// The kernel complained in its log, is tainted, or did not log what the case declared.
    case kernelLog
    /// The process of the run, or that of its emulated devices, ended by a signal or without a result.
    case crash
    /// The guest's kernel died.
    case kernelDied
    /// The guest stood still.
    case guestHung
    /// QEMU failed.
    case emulator
    /// Somebody else's: of an error table that a script made, or of a file of another version. Its text is none of those above.
    case other(String)

    private static let named: [ErrorKind] = [
        .kernel, .argument, .expectation, .skip, .interrupt, .script, .usage, .permission, .peer, .timeout, .memory,
        .output, .bench, .notRun, .kernelLog, .crash, .kernelDied, .guestHung, .emulator,
    ]
    private static let byText = Dictionary(uniqueKeysWithValues: named.map { ($0.text, $0) })

    /// By its text; any text is some kind.
    public init(_ text: String) { self = ErrorKind.byText[text] ?? .other(text) }

    /// As scripts and files of results have it: "kernel_log".
    public var text: String {
        switch self {
        case .kernel: "kernel"
        case .argument: "argument"
        case .expectation: "expectation"
        case .skip: "skip"
        case .interrupt: "interrupt"
        case .script: "script"
        case .usage: "usage"
        case .permission: "permission"
        case .peer: "peer"
        case .timeout: "timeout"
        case .memory: "memory"
        case .output: "output"
        case .bench: "bench"
        case .notRun: "not_run"
        case .kernelLog: "kernel_log"
        case .crash: "crash"
        case .kernelDied: "kernel_died"
        case .guestHung: "guest_hung"
        case .emulator: "emulator"
        case .other(let text): text
        }
    }
}

extension ErrorKind: Codable {
    /// A string.
    public init(from decoder: any Decoder) throws { self.init(try decoder.singleValueContainer().decode(String.self)) }

    /// A string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
