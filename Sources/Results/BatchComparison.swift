import Runner

/// Two batches, run by run and measurement by measurement. Repetitions of a run are one sample, however many there are.
public struct BatchComparison: Sendable {
    /// What became of a run.
    public struct RunChange: Sendable, Equatable {
        /// What became of it.
        public enum Kind: Int, Sendable, CaseIterable, Comparable {
            /// It did not fail before, and fails now.
            case fails
            /// It passed at once before, and now only when it is tried again, or now and then.
            case flaky
            /// It passed before, and is skipped now.
            case skipped
            /// It was run before, and is not there now.
            case missing
            /// It failed before, and fails otherwise now.
            case otherwise
            /// It failed before, and passes now.
            case mended
            /// It was not there before.
            case new

            /// Whether it was better before.
            public var isWorse: Bool { self < .otherwise }

            /// The worst first.
            public static func < (one: Kind, other: Kind) -> Bool { one.rawValue < other.rawValue }
        }
        /// The run, without its number among repetitions.
        public let name: String
        /// What became of it.
        public let kind: Kind
        /// How its runs ended before: "3 pass".
        public let before: String
        /// How they end now.
        public let now: String
    }

    /// In what the batches differ besides what was found: "a.lua: option size: 64 before, 4096 now".
    public let differences: [String]
    /// Runs that ended otherwise, by name.
    public let runs: [RunChange]
    /// Measurements of both, by name.
    public let changes: [Change]
    /// What scenarios measured before and do not measure now.
    public let unmeasured: [String]
    /// What they measure now and did not before.
    public let measuredAnew: [String]

    /// Compares.
    public init(_ before: some RecordSource, _ after: some RecordSource) {
        let (one, other) = (Side(before), Side(after))
        differences = Side.differences(one, other)
        runs = Set(one.groups.keys).union(other.groups.keys).sorted(by: NaturalOrder.precedes).compactMap { name in
            BatchComparison.change(name, one.groups[name], other.groups[name])
        }
        changes = Samples.compare(one.samples, other.samples)
        unmeasured = one.samples.declared.subtracting(other.samples.declared).sorted(by: NaturalOrder.precedes)
        measuredAnew = other.samples.declared.subtracting(one.samples.declared).sorted(by: NaturalOrder.precedes)
    }

    /// Whether anything is worse than before, or is no longer known.
    public var isWorse: Bool {
        runs.contains { $0.kind.isWorse } || !unmeasured.isEmpty || changes.contains { $0.verdict == .worse }
    }

    /// Measurements of which nothing can be said though a scenario took them.
    public var undecided: [Change] { changes.filter { $0.verdict == .undecided && $0.isDeclared } }

    private static func change(_ name: String, _ before: Group?, _ now: Group?) -> RunChange? {
        let kind: RunChange.Kind
        switch (before, now) {
        case (nil, nil): return nil
        case (nil, let now?): kind = now.hasBad ? .fails : .new
        case (_, nil): kind = .missing
        case (let before?, let now?):
            guard before.outcomes.keys != now.outcomes.keys || before.isFlaky != now.isFlaky else { return nil }
            if now.hasBad, !before.hasBad {
                kind = .fails
            } else if now.isFlaky, !before.isFlaky {
                kind = .flaky
            } else if now.hasBad {
                kind = .otherwise
            } else if before.hasBad || before.isFlaky {
                kind = .mended
            } else {
                kind = now.outcomes[.skip] != nil && before.outcomes[.skip] == nil ? .skipped : .mended
            }
        }
        return RunChange(name: name, kind: kind, before: before?.text ?? "not run", now: now?.text ?? "not run")
    }
}

/// Repetitions of one run.
private struct Group {
    var outcomes: [Outcome: Int] = [:]
    var retried = 0

    var hasBad: Bool { outcomes.keys.contains { !$0.isGood } }
    /// Tried again, or now this and now that.
    var isFlaky: Bool { retried > 0 || (hasBad && outcomes.keys.contains(.pass)) }

    var text: String {
        let words = outcomes.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.word)" }
        return words.joined(separator: ", ") + (retried > 0 ? ", of them \(retried) when tried again" : "")
    }
}

/// One batch.
private struct Side {
    /// What measurements and ends may depend on.
    private struct Fact: Hashable, Comparable {
        /// A run, or a file; empty where it is of the whole batch.
        let subject: String
        let name: String

        var text: String { subject.isEmpty ? name : "\(subject): \(name)" }
        static func < (one: Fact, other: Fact) -> Bool { (one.subject, one.name) < (other.subject, other.name) }
    }

    let samples: Samples
    let groups: [String: Group]
    /// What each was, and how it is written; several where runs differ.
    private let facts: [Fact: [String: String]]
    private let subjects: Set<String>
    /// What `math.random` began with, where a script drew from it.
    private let seeds: [String: Set<Int64>]

    init(_ source: some RecordSource) {
        // Locals, as the closure must not have `self`.
        var samples = Samples(), groups: [String: Group] = [:]
        let (bench, version) = (source.header.bench, source.header.version)
        var facts = [
            Fact(subject: "", name: "bench"): [bench: bench], Fact(subject: "", name: "peerlab"): [version: version],
        ]
        var seeds: [String: Set<Int64>] = [:]
        source.each { record in
            samples.add(record)
            let name = record.group
            groups[name, default: Group()].outcomes[record.outcome, default: 0] += 1
            if record.flaky { groups[name, default: Group()].retried += 1 }
            for (fact, text) in Side.facts(record) { facts[fact, default: [:]][text] = text }
            for (fact, value, text) in Side.options(record) { facts[fact, default: [:]][value] = text }
            if let seed = record.result?.seed, record.result?.random == true { seeds[name, default: []].insert(seed) }
        }
        (self.samples, self.groups, self.facts, self.seeds) = (samples, groups, facts, seeds)
        subjects = Set(facts.keys.map(\.subject)).union(groups.keys)
    }

    private static func facts(_ record: Record) -> [(Fact, String)] {
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

    /// What options came to be, where a run got so far: a number is the same however it is written.
    private static func options(_ record: Record) -> [(fact: Fact, value: String, text: String)] {
        let options = record.settings.merging(record.result?.options ?? [:]) { $1 }
        return options.map { name, text in
            // Of one that was not loaded nobody knows which options are numbers.
            let isKnown = record.result?.options[name] != nil
            let value = record.result?.option_values?[name] ?? (isKnown ? text : OptionSchema.plainNumber(text) ?? text)
            return (Fact(subject: record.group, name: "option \(name)"), value, text)
        }
    }

    /// Facts of what both have that are not the same.
    static func differences(_ one: Side, _ other: Side) -> [String] {
        func text(_ values: [String: String]?) -> String {
            values.map { $0.values.sorted().joined(separator: "; ") } ?? "not said"
        }
        let common = one.subjects.intersection(other.subjects)
        var lines = Set(one.facts.keys).union(other.facts.keys).sorted()
            .filter { common.contains($0.subject) && one.facts[$0]?.keys != other.facts[$0]?.keys }
            // Runs that are not pinned have any processor.
            .filter { $0.name != "cpu" || max(one.facts[$0]?.count ?? 0, other.facts[$0]?.count ?? 0) == 1 }
            .map { "\($0.text): \(text(one.facts[$0])) before, \(text(other.facts[$0])) now" }
        let seeds = one.seeds.count { name, values in other.seeds[name].map { $0 != values } ?? false }
        if seeds > 0 {
            lines.append(
                "math.random: other numbers in \(seeds == 1 ? "1 run that draws" : "\(seeds) runs that draw") some")
        }
        return lines
    }
}
