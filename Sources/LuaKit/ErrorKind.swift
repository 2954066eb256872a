/// The kind of an error. Verdicts and exit codes depend on this alone, never on a message's text.
public enum ErrorKind: Hashable, Sendable {
    /// The kernel, a model of it, or libibverbs refused a call.
    case kernel
    /// The API is used wrongly: an argument's type, range or combination.
    case argument
    /// A check of the script's own failed.
    case expectation
    /// A known bug is not there, so that the case about it is out of date.
    case fixed
    /// The case cannot be tried here; not a failure.
    case skip
    /// Ctrl-C or a signal asked the run to end.
    case interrupt
    /// Any other error of Lua's or of the script's.
    case script
    /// The command line, an option's value or the scenario's table is wrong; nothing was tried.
    case usage
    /// The script tried to change something that the scenario does not declare, or that the user does not grant.
    case permission
    /// Another role failed, has left, or did not come in time.
    case peer
    /// The time of the run was over.
    case timeout
    /// A memory limit was reached.
    case memory
    /// The script printed more than it may.
    case output
    /// The bench cannot provide what was asked for, such as a complete log.
    case bench
    /// The case did not run: an earlier one ended the run.
    case notRun
    /// The kernel logged a complaint, is tainted, or did not log what the case declared.
    case kernelLog
    /// The process of the run, or that of its emulated devices, ended by a signal or without a result.
    case crash
    /// The guest's kernel crashed.
    case kernelDied
    /// The guest stopped responding.
    case guestHung
    /// QEMU failed.
    case emulator
    /// A kind that this version does not define: of an error table that a script made, or of a results file of another
    /// version. The text is none of those above.
    case other(String)

    private static let named: [ErrorKind] = [
        .kernel, .argument, .expectation, .fixed, .skip, .interrupt, .script, .usage, .permission, .peer, .timeout,
        .memory, .output, .bench, .notRun, .kernelLog, .crash, .kernelDied, .guestHung, .emulator,
    ]
    private static let byText = Dictionary(uniqueKeysWithValues: named.map { ($0.text, $0) })

    /// The kind of that text; ``other(_:)`` for an unknown text.
    public init(_ text: String) { self = ErrorKind.byText[text] ?? .other(text) }

    /// The text in scripts and results files: "kernel_log".
    public var text: String {
        switch self {
        case .kernel: "kernel"
        case .argument: "argument"
        case .expectation: "expectation"
        case .fixed: "fixed"
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
