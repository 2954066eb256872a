public import Runner

/// How one run of a batch ended.
public enum Outcome: String, Codable, Sendable, CaseIterable {
    /// Every case passed, or some did and the rest were skipped.
    case pass
    /// A case failed, or something was left open.
    case fail
    /// Every case was skipped.
    case skip
    /// The file or its options are wrong; nothing of it was run.
    case error
    /// Its process ended without a result: by a signal, or by exiting.
    case crash
    /// It exceeded its time limit.
    case timeout
    /// It exceeded its memory limit.
    case memory
    /// It exceeded its limit of output.
    case output
    /// Ctrl-C or SIGTERM.
    case interrupted
    /// It was planned but could not be run: its file was removed or changed since the batch was begun.
    case notRun = "not_run"
    /// It failed, and all of its failures were expected.
    case expectedFailure = "expected_failure"
    /// It passed, or a case did, that was expected to fail.
    case unexpectedPass = "unexpected_pass"

    /// The word for reports: "not run".
    public var word: String { rawValue.replacing("_", with: " ") }

    /// Whether it ended as it should: it passed, was skipped, or failed as expected.
    public var isGood: Bool { self == .pass || self == .skip || self == .expectedFailure }
}

/// One process of a run. A failed run may be retried, in another process.
public struct Attempt: Codable, Sendable, Equatable {
    /// How it ended.
    public var outcome: Outcome
    /// Why, in one line.
    public var reason: String?
    /// Exit code of its process.
    public var exit: Int32?
    /// The signal that ended its process: "SIGSEGV".
    public var signal: String?
    /// Nanoseconds of wall-clock time.
    public var wall_ns: UInt64

    /// An attempt.
    public init(outcome: Outcome, reason: String?, exit: Int32?, signal: String?, wall_ns: UInt64) {
        self.outcome = outcome
        self.reason = reason
        self.exit = exit
        self.signal = signal
        self.wall_ns = wall_ns
    }
}

/// One run of a batch: a scenario, or a cell of its matrix. All formats of results are made of these.
public struct RunRecord: Codable, Sendable {
    /// The file, the matrix cell and the repetition: "tph.lua[size=64,st=0x10]#2". The same in each batch.
    public var id: String
    /// The file as the user named it.
    public var file: String
    /// Options that were set, by the matrix or for all.
    public var settings: [String: String] = [:]
    /// The scenario's tags.
    public var tags: [String] = []
    /// SHA-256 of the file, hexadecimal; empty where it could not be read.
    public var hash = ""
    /// The seed of the shuffled order; nil where runs were not shuffled.
    public var seed: UInt64?
    /// How it ended.
    public var outcome: Outcome
    /// Why, in one line, where it did not pass.
    public var reason: String?
    /// Whether it passed only when retried.
    public var flaky = false
    /// Every process of the run, in order.
    public var attempts: [Attempt] = []
    /// When it began: ISO 8601, UTC.
    public var started: String
    /// Processor time of the last attempt, nanoseconds.
    public var cpu_ns: UInt64 = 0
    /// Peak resident memory, bytes.
    public var max_resident: UInt64 = 0
    /// Its limits.
    public var limits: Limits
    /// The end of its standard output, where it did not pass.
    public var output: String?
    /// The end of its standard error, where it did not pass.
    public var errors: String?
    /// The last calls before its end, where it did not pass.
    public var trace: [String] = []
    /// The file with the record of its calls, where one was kept (`--record-failures`).
    public var record: String?
    /// The scenario's result; nil where its process did not get so far.
    public var result: ScenarioResult?

    /// A run.
    public init(id: String, file: String, outcome: Outcome, started: String, limits: Limits) {
        self.id = id
        self.file = file
        self.outcome = outcome
        self.started = started
        self.limits = limits
    }

    /// Further failures of its cases: "CASE: and while closing: ...".
    var further: [String] {
        (result?.cases ?? []).flatMap { one in (one.further ?? []).map { "\(one.name): \($0.line)" } }
    }

    /// "2 cases not selected"; nil where there are none.
    public var selection: String? { result.flatMap { Totals.words(notSelected: $0.notSelected) } }

    /// Why it was expected to fail, where it is about that; nil otherwise.
    var expectation: String? {
        guard outcome == .expectedFailure || outcome == .unexpectedPass else { return nil }
        let cases = result?.cases.compactMap(\.expected_failure) ?? []
        return cases.first ?? result?.expected_failures?.first { $0.name == nil }?.reason
    }

    /// Wall-clock time of its last attempt, nanoseconds.
    public var wall: UInt64 { attempts.last?.wall_ns ?? 0 }
}

/// Counts of runs by outcome.
public struct Totals: Codable, Sendable, Equatable {
    /// Counts by outcome's name; outcomes that no run had are left out.
    public var outcomes: [String: Int] = [:]
    /// Runs that passed only when retried.
    public var flaky = 0

    /// All counts 0.
    public init() {}

    /// Throws for counts that no batch has, as their sum could overflow.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        outcomes = try values.decode([String: Int].self, forKey: .outcomes)
        flaky = try values.decode(Int.self, forKey: .flaky)
        guard (Array(outcomes.values) + [flaky]).allSatisfy((0...Totals.most).contains) else {
            throw DecodingError.dataCorruptedError(
                forKey: .outcomes, in: values, debugDescription: "a count is none of runs")
        }
    }

    private static let most = 1 << 32

    /// Counts a run.
    public mutating func add(_ record: RunRecord) { add(record.outcome, flaky: record.flaky) }

    /// Counts a run.
    public mutating func add(_ outcome: Outcome, flaky: Bool) {
        outcomes[outcome.rawValue, default: 0] += 1
        if flaky { self.flaky += 1 }
    }

    /// Number of runs with that outcome.
    public func count(_ outcome: Outcome) -> Int { outcomes[outcome.rawValue] ?? 0 }
    /// Number of all runs.
    public var all: Int { outcomes.values.reduce(0, +) }
    /// Number of runs that did not end as they should.
    public var bad: Int { Outcome.allCases.filter { !$0.isGood }.map(count).reduce(0, +) }

    /// "2 cases not selected"; nil for none.
    static func words(notSelected count: Int) -> String? {
        count == 0 ? nil : "\(count) \(count == 1 ? "case" : "cases") not selected"
    }

    /// ``text``, with the number of cases that were left out.
    public func text(notSelected count: Int) -> String {
        ([text] + (Totals.words(notSelected: count).map { [$0] } ?? [])).joined(separator: ", ")
    }

    /// "3 passed, 1 failed, 2 timed out"
    public var text: String {
        let words: [(Outcome, String)] = [
            (.pass, "passed"), (.fail, "failed"), (.skip, "skipped"), (.expectedFailure, "failed as expected"),
            (.unexpectedPass, "expected to fail, but passed"), (.error, "could not be run"),
            (.crash, "crashed"), (.timeout, "timed out"), (.memory, "ran out of memory"),
            (.output, "printed too much"), (.interrupted, "interrupted"), (.notRun, "not run"),
        ]
        var parts = words.compactMap { outcome, word in
            count(outcome) > 0 || outcome == .pass || outcome == .fail ? "\(count(outcome)) \(word)" : nil
        }
        if flaky > 0 { parts.append("\(flaky) flaky") }
        return parts.joined(separator: ", ")
    }
}
