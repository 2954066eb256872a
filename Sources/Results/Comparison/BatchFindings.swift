import Runner

/// The data of one batch's runs that a comparison needs.
public struct BatchFindings: Sendable {
    /// A part of a run with an outcome of its own.
    enum Part: Hashable {
        /// A case; cases with the same name are numbered.
        case one(String, Int)
        /// Everything outside the cases: objects left open, failures of finalizers, the end of the process.
        case outside

        var text: String {
            switch self {
            case .one(let name, let number): number == 1 ? name : "\(name) (\(number))"
            case .outside: "outside its cases"
            }
        }
    }

    /// Repetitions of one run.
    struct Group {
        var tally = Tally()
        var parts: [Part: Tally] = [:]
        /// The parts in the file's order.
        var order: [Part] = []
        /// Whether cases were not selected, so that the run's outcome is not that of all its cases.
        private(set) var isPartial = false
        /// Whether any repetition reached its cases.
        var hasCases: Bool { order.contains { $0 != .outside } }

        fileprivate mutating func add(_ record: RunRecord) {
            let left = record.result?.notSelected ?? 0
            isPartial = isPartial || left > 0
            // A run without any selected case was not run.
            if left == 0 || left < record.result?.cases.count ?? 0 || !record.outcome.isGood {
                tally.add(record.outcome)
            }
            if record.flaky { tally.retried += 1 }
            guard let result = record.result, !result.cases.isEmpty else {
                // A run that ended before its first case counts as a part of its own.
                if !record.outcome.isGood { add(.outside, record.outcome) }
                return
            }
            var numbers: [String: Int] = [:]
            for one in result.cases {
                numbers[one.name, default: 0] += 1
                let part = Part.one(one.name, numbers[one.name] ?? 1)
                // One that was not selected is there, and how it would end is not known.
                if one.verdict == .notSelected { note(part) } else { add(part, Group.outcome(one.verdict)) }
            }
            let isOfCases =
                result.cases.contains { $0.verdict == .fail || $0.verdict == .unexpectedPass }
                && result.left_open.isEmpty && result.collecting.isEmpty
            let isWell = record.outcome.isGood || isOfCases
            // A case that was not selected may be the one that leaves something open.
            if isWell, left > 0 { note(.outside) } else { add(.outside, isWell ? .pass : record.outcome) }
        }

        private mutating func add(_ part: Part, _ outcome: Outcome) {
            note(part)
            parts[part, default: Tally()].add(outcome)
        }

        private mutating func note(_ part: Part) {
            guard parts[part] == nil else { return }
            order.append(part)
            parts[part] = Tally()
        }

        private static func outcome(_ verdict: Verdict) -> Outcome {
            switch verdict {
            case .pass: .pass
            case .fail: .fail
            case .skip: .skip
            case .interrupted: .interrupted
            case .notRun, .notSelected: .notRun
            case .expectedFailure: .expectedFailure
            case .unexpectedPass: .unexpectedPass
            }
        }
    }

    /// A condition of a run on which outcomes and measurements may depend.
    private struct Fact: Hashable, Comparable {
        /// A run or a file; empty for the whole batch.
        let subject: String
        let name: String

        var text: String { subject.isEmpty ? name : "\(subject): \(name)" }
        static func < (one: Fact, other: Fact) -> Bool { (one.subject, one.name) < (other.subject, other.name) }
    }

    /// The measurements.
    public private(set) var samples = Samples()
    private(set) var groups: [String: Group] = [:]
    /// The runs of which a process was started.
    private(set) var runs: Set<RunIdentity> = []
    /// Values of each fact, by canonical form, with their text; several where runs differ.
    private var facts: [Fact: [String: String]] = [:]
    /// Seeds of `math.random`, where a script drew from it.
    private var seeds: [String: Set<Int64>] = [:]
    /// Planned runs without a line; nil where the plan is unknown.
    private var neverRun: Set<String>?
    private var isWhole = true

    /// Empty.
    public init() {}

    /// From a batch.
    public init(_ source: some RecordSource) {
        // A local variable, as the closure cannot capture `self` in an initializer.
        var found = BatchFindings()
        let bench = source.header.bench, mark = "bench: "
        let name = bench.hasPrefix(mark) ? String(bench.dropFirst(mark.count)) : bench
        found.facts[Fact(subject: "", name: "bench")] = [name: name]
        let version = source.header.version
        found.facts[Fact(subject: "", name: "peerlab")] = [version: version]
        source.each { found.add($0) }
        found.neverRun = source.neverRun.map { runs in Set(runs.map { RunRecord.group(of: $0.id, in: $0.file) }) }
        found.isWhole = source.isEnded && source.complaint == nil
        self = found
    }

    /// Adds a run.
    public mutating func add(_ record: RunRecord) {
        samples.add(record)
        if let run = RunIdentity(record) { runs.insert(run) }
        let name = record.group
        groups[name, default: Group()].add(record)
        for (fact, text) in BatchFindings.facts(record) { facts[fact, default: [:]][text] = text }
        for (fact, value, text) in BatchFindings.options(record) { facts[fact, default: [:]][value] = text }
        if let seed = record.result?.seed, record.result?.random == true { seeds[name, default: []].insert(seed) }
    }

    /// Whether a run may be missing only because the batch was not completed, or lines of its journal were lost.
    func mayNotHaveRun(_ name: String) -> Bool { neverRun?.contains(name) ?? !isWhole }

    private static func facts(_ record: RunRecord) -> [(Fact, String)] {
        let name = record.group
        let order = record.seed.map { "shuffled with --seed \($0)" } ?? "not shuffled"
        var list = [(Fact(subject: "", name: "order"), order)]
        list += (record.result?.environment ?? [:]).map { (Fact(subject: "", name: $0.key), $0.value) }
        if !record.hash.isEmpty {
            list.append((Fact(subject: record.file, name: "file"), "sha256 \(record.hash.prefix(12))"))
        }
        let timeout = record.limits.timeout.map { "\($0) s" }, memory = record.limits.memory.map { "\($0 >> 20) MiB" }
        list.append((Fact(subject: name, name: "timeout"), timeout ?? "none"))
        list.append((Fact(subject: name, name: "memory limit"), memory ?? "none"))
        return list
    }

    /// Values of a run's options, where known. Numbers are in canonical form, however they were written.
    private static func options(_ record: RunRecord) -> [(fact: Fact, value: String, text: String)] {
        let options = record.settings.merging(record.result?.options ?? [:]) { $1 }
        return options.map { name, text in
            // Where the file was not loaded, the types of its options are unknown.
            let isKnown = record.result?.options[name] != nil
            let value = record.result?.option_values?[name] ?? (isKnown ? text : OptionSchema.plainNumber(text) ?? text)
            return (Fact(subject: record.group, name: "option \(name)"), value, text)
        }
    }

    /// Facts that both have, with different values.
    static func differences(_ one: BatchFindings, _ other: BatchFindings) -> [String] {
        func text(_ values: [String: String]?) -> String {
            values.map { $0.values.sorted().joined(separator: "; ") } ?? "not said"
        }
        let common = one.subjects.intersection(other.subjects)
        // A batch without runs has no conditions to compare.
        let isEmpty = one.groups.isEmpty || other.groups.isEmpty
        var lines = Set(one.facts.keys).union(other.facts.keys).sorted()
            .filter { common.contains($0.subject) && one.facts[$0]?.keys != other.facts[$0]?.keys }
            .filter { !isEmpty || (one.facts[$0] != nil && other.facts[$0] != nil) }
            // The processor of runs that are not pinned differs by chance.
            .filter { $0.name != "cpu" || max(one.facts[$0]?.count ?? 0, other.facts[$0]?.count ?? 0) == 1 }
            .map { "\($0.text): \(text(one.facts[$0])) before, \(text(other.facts[$0])) now" }
        let seeds = one.seeds.count { name, values in other.seeds[name].map { $0 != values } ?? false }
        if seeds > 0 {
            lines.append(
                "math.random: other numbers in \(seeds == 1 ? "1 run that draws" : "\(seeds) runs that draw") some")
        }
        return lines
    }

    /// What two runs do not have in common: when it began, and times to the nanosecond.
    struct RunIdentity: Hashable {
        private let id: String
        private let started: String
        private let times: [UInt64]

        /// nil where no process was started.
        init?(_ record: RunRecord) {
            guard !record.attempts.isEmpty else { return nil }
            (id, started) = (record.id, record.started)
            times = record.attempts.map(\.wall_ns) + [record.cpu_ns]
        }
    }

    private var subjects: Set<String> { Set(facts.keys.map(\.subject)).union(groups.keys) }
}
