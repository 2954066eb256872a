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
    /// It did not run: an earlier failure ended the run.
    case notRun = "not_run"
    /// It did not run, as the user selected other cases.
    case notSelected = "not_selected"
    /// It failed, as ``ExpectedFailure`` says.
    case expectedFailure = "expected_failure"
    /// It passed, and was expected to fail.
    case unexpectedPass = "unexpected_pass"

    /// The word for reports: "not run".
    public var word: String { rawValue.replacing("_", with: " ") }
}

/// A failure beside a case's first one.
public struct FurtherFailure: Codable, Sendable, Equatable {
    /// Its stage: "while closing" what the case left open, or "in role 'b'".
    public let when: String
    /// The failure in one line.
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

/// The result of one case.
public struct CaseResult: Codable, Sendable {
    /// The case's name.
    public let name: String
    /// How it ended.
    public var verdict: Verdict
    /// Why it was skipped, failed or not run, in one line.
    public var message: String?
    /// The error's fields, where it failed with one.
    public var error: ErrorFields?
    /// Later failures, in order: of closing after the first error, of other roles; absent where there are none.
    public var further: [FurtherFailure]?
    /// Why it was expected to fail; absent where it was not, or where it was skipped.
    public var expected_failure: String?
    /// Lines it logged.
    public var log: [String] = []
    /// Numbers it measured.
    public var metrics: [Metric] = []
    /// Latencies it measured.
    public var distributions: [Distribution] = []
    /// Findings about hints.
    public var evidence: [Evidence] = []
    /// Reasons for which its measurements are less reliable than they look; absent where there are none.
    public var warnings: [String]?
    /// Messages of the kernel during the case, and those that it declared; absent where there are none.
    public var kernel: KernelFindings?
    /// Nanoseconds by the bench's clock: virtual on the simulated bench.
    public let duration_ns: UInt64
}

/// The fields of an error, in results.
public struct ErrorFields: Codable, Sendable, Equatable {
    /// See ``ErrorKind``.
    public let kind: ErrorKind
    /// The call.
    public let operation: String?
    /// The kernel's number, positive.
    public let errno: Int32?
    /// Its name.
    public let name: String?
    /// The object of the call, such as a device.
    public let object: String?
    /// Its decoded arguments.
    public let request: String?
    /// The likely reason.
    public let hint: String?
    /// Lua's stack.
    public let traceback: String?

    /// From an error.
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
    /// The call, as text.
    public let call: String
    /// Number of calls.
    public let count: Int
}

/// The result of one scenario: everything that a report shows.
public struct ScenarioResult: Codable, Sendable {
    /// The file as the user named it.
    public let file: String
    /// The scenario's name.
    public var name: String
    /// Of a reproducer: which kernel releases or revisions of a series it concerns.
    public var concerns: String?
    /// Of a reproducer: the behaviour of a correct kernel.
    public var expected: String?
    /// Of a reproducer: the behaviour of a kernel with the bug.
    public var seen: String?
    /// The worst of its cases.
    public var verdict: Verdict
    /// Its description, in a line.
    public var about: String?
    /// "sim", "lab" or "host".
    public let bench: String
    /// The bench's description.
    public let bench_description: String
    /// Whether the kernel's answers came from a model.
    public let simulated: Bool
    /// Restrictions of the run's process that the kernel enforces; absent where none were requested.
    public var sandbox: Sandbox?
    /// The seed of `math.random`, in the first role.
    public var seed: Int64?
    /// Whether a script drew numbers that depend on ``seed``; absent where none did, or where unknown.
    public var random: Bool?
    /// Option values as text, after `auto` was resolved.
    public var options: [String: String] = [:]
    /// Plain values of options with numbers in another notation: 65536 for "64K". Absent where there are none.
    public var option_values: [String: String]?
    /// Modules that it loaded from its own folder, "engines/edu.lua"; absent where it loaded none.
    public var modules: [String]?
    /// Properties of the machine and of the devices used; empty on a simulated bench.
    public var environment: [String: String] = [:]
    /// Reasons for which measurements are less reliable than they could be.
    public var warnings: [String] = []
    /// Cases, in the order in which they ran.
    public var cases: [CaseResult] = []
    /// The failures that are expected of it; absent where none are.
    public var expected_failures: [ExpectedFailure]?
    /// Why the file could not be run (unreadable, not a scenario, no such option); absent where it could.
    public var unusable: String?
    /// Why the whole scenario was skipped.
    public var skipped: [String] = []
    /// How the TPH feature was found, where a script needed it.
    public var tph: String?
    /// Number of calls refused by injection (`--inject`, `bench.inject`).
    public var calls_refused = 0
    /// Injections for calls that were never made.
    public var faults_unused: [String] = []
    /// Objects still open at the end; empty where the script closed everything.
    public var left_open: [String] = []
    /// Failures of the collector to close objects.
    public var collecting: [String] = []
    /// Calls that the simulated kernel does not model.
    public var not_modelled: [NotModelled] = []
}

extension ScenarioResult {
    /// Number of its cases that the user did not select.
    public var notSelected: Int { cases.count { $0.verdict == .notSelected } }

    /// The result of a file that could not be run.
    public init(unusable file: String, on bench: Bench, because error: ErrorValue) {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        self.init(
            file: file, name: name, verdict: .fail, bench: bench.kind, bench_description: bench.description,
            simulated: bench.isSimulated)
        sandbox = bench.sandbox
        unusable = error.line
    }

    /// The result of a file that was not begun, because the run of an earlier one on the same bench ended.
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
