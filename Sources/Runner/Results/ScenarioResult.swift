public import Bindings
public import LuaKit

/// How a case, or a whole scenario, ended.
public enum Verdict: String, Codable, Sendable {
    /// As expected.
    case pass
    /// Not as expected, or something was left open.
    case fail
    /// Could not be tried here.
    case skip
    /// Ctrl-C.
    case interrupted
    /// Its turn did not come: what ran before it ended the run.
    case notRun = "not_run"

    /// For people: "not run".
    public var word: String { self == .notRun ? "not run" : rawValue }
}

/// A failure beside a case's first one.
public struct FurtherFailure: Codable, Sendable, Equatable {
    /// When it came: "while closing" what the case left, or "in role 'b'".
    public let when: String
    /// What failed, in one line.
    public let message: String
    /// The error's fields.
    public let error: ErrorFields?

    init(_ when: String, _ message: String, _ error: ErrorFields?) {
        self.when = when
        self.message = message
        self.error = error
    }

    init(_ when: String, _ error: ErrorValue) { self.init(when, error.line, ErrorFields(error)) }

    /// "and while closing: IOMMU_DESTROY: EBUSY ..."
    public var line: String { "and \(when): \(message)" }
}

/// One case's end.
public struct CaseResult: Codable, Sendable {
    /// The case.
    public let name: String
    /// How it ended.
    public var verdict: Verdict
    /// Why it was skipped, failed or not run, in one line.
    public var message: String?
    /// The error's fields, where it failed with one.
    public var error: ErrorFields?
    /// What failed besides, in order: what was closed behind the first error, other roles; absent where nothing did.
    public var further: [FurtherFailure]?
    /// Lines it logged.
    public var log: [String] = []
    /// Numbers it measured.
    public var metrics: [Metric] = []
    /// Latencies it measured.
    public var distributions: [Distribution] = []
    /// What it found out about hints.
    public var evidence: [Evidence] = []
    /// What makes its numbers worth less than they look; absent where there is nothing.
    public var warnings: [String]?
    /// What the kernel said while it ran, or would have been asked for; absent where there is nothing to tell.
    public var kernel: KernelFindings?
    /// Nanoseconds by the bench's clock: virtual on the simulated bench.
    public let duration_ns: UInt64
}

/// An error, as results carry it.
public struct ErrorFields: Codable, Sendable, Equatable {
    /// See ``ErrorKind``.
    public let kind: ErrorKind
    /// The call.
    public let operation: String?
    /// The kernel's number, positive.
    public let errno: Int32?
    /// Its name.
    public let name: String?
    /// What the call was about.
    public let object: String?
    /// Its decoded arguments.
    public let request: String?
    /// The likely reason.
    public let hint: String?
    /// Lua's stack.
    public let traceback: String?

    /// Of an error.
    public init(_ error: ErrorValue) {
        kind = error.kind
        operation = error.operation
        errno = error.errno
        name = error.name
        object = error.object
        request = error.request
        hint = error.hint
        traceback = error.traceback
    }
}

/// A call that the simulated bench does not model.
public struct NotModelled: Codable, Sendable {
    /// What was asked.
    public let call: String
    /// How often.
    public let count: Int
}

/// One scenario's end: all that a report shows.
public struct ScenarioResult: Codable, Sendable {
    /// The file as it was named.
    public let file: String
    /// The scenario's name.
    public var name: String
    /// Of a reproducer: which kernel releases or revisions of a series it concerns.
    public var concerns: String?
    /// Of a reproducer: what a right kernel does.
    public var expected: String?
    /// Of a reproducer: what a wrong one does.
    public var seen: String?
    /// The worst of its cases.
    public var verdict: Verdict
    /// What it shows, in a line.
    public var about: String?
    /// "sim", "lab" or "host".
    public let bench: String
    /// The bench's description.
    public let bench_description: String
    /// Whether a model answered.
    public let simulated: Bool
    /// What the kernel kept the run's process from; absent where nothing was asked of it.
    public var sandbox: Sandbox?
    /// What `math.random` began with, in the first role.
    public var seed: Int64?
    /// Whether a script drew numbers from it that hang on ``seed``; absent where none did, or where that is not known.
    public var random: Bool?
    /// Option values as text, after `auto` was resolved.
    public var options: [String: String] = [:]
    /// What the numbers among them are that are written otherwise: 65536, where "64K" is written. Absent where none is.
    public var option_values: [String: String]?
    /// Modules of its own folder that it loaded, "engines/edu.lua"; absent where it loaded none.
    public var modules: [String]?
    /// What the machine and the devices used were; empty on a simulated bench.
    public var environment: [String: String] = [:]
    /// What makes measurements worth less than they could be.
    public var warnings: [String] = []
    /// In order.
    public var cases: [CaseResult] = []
    /// Why the file could not be run: it cannot be read, is no scenario, or has no such option; absent where it could.
    public var unusable: String?
    /// Why the whole scenario was skipped.
    public var skipped: [String] = []
    /// How the TPH feature was found, where a script asked.
    public var tph: String?
    /// Calls that were refused instead of being made (`--inject`, `bench.inject`).
    public var calls_refused = 0
    /// Refusals that were planned for calls which were never made.
    public var faults_unused: [String] = []
    /// What was still open at the end; empty in a sound run.
    public var left_open: [String] = []
    /// What failed when the collector closed objects.
    public var collecting: [String] = []
    /// What was asked of a simulated kernel in vain.
    public var not_modelled: [NotModelled] = []
}

extension ScenarioResult {
    /// Of a file that could not be run.
    public init(unusable file: String, on bench: Bench, because error: ErrorValue) {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        self.init(
            file: file, name: name, verdict: .fail, bench: bench.kind, bench_description: bench.description,
            simulated: bench.isSimulated)
        sandbox = bench.sandbox
        unusable = error.line
    }

    /// Of a file that was not begun, as the run of another one, on the same bench, was ended.
    public init(notRun file: String, like other: ScenarioResult, because death: RunProgress.Death) {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        self.init(
            file: file, name: name, verdict: .notRun, bench: other.bench, bench_description: other.bench_description,
            simulated: other.simulated)
        var one = CaseResult(name: name, verdict: .notRun, duration_ns: 0)
        one.message = "not run: \(death.message)"
        cases = [one]
    }
}
