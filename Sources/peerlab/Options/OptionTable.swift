import ArgumentParser
import Runner

/// A command that runs on a bench.
protocol BenchCommand: ParsableCommand {
    /// What the bench was named.
    var benchName: String { get }
}

/// Which options of each command do something, and on which bench. What does nothing is refused before anything runs; what
/// an option does, its help says. Every option of every command has a row: a test reads the parser's own list.
enum OptionTable {
    /// Where a command runs.
    enum Kind: String, CaseIterable {
        case sim, lab, host

        /// Of what `--bench` named; what names none is refused elsewhere.
        init(_ name: String) { self = Kind(rawValue: name) ?? .sim }
    }

    /// Options of a command that do something on the same benches.
    private struct Row {
        let benches: [Kind]
        let options: [String]

        init(_ benches: [Kind], _ options: String) {
            self.benches = benches
            self.options = options.split(separator: " ").map(String.init)
        }
    }

    private static let forms = "ktap tap junit json jsonl html"
    private static let all = Kind.allCases
    /// What the guest is.
    private static let lab = Row(
        [.lab], "lab-kernel lab-tph lab-importer lab-machine lab-clock lab-accel lab-exporter lab-nic")
    /// A simulated bench grants everything: there is nothing to allow.
    private static let scenarios = [
        Row(all, "bench set tph-abi lib deny rules"), Row([.lab, .host], "allow"), lab,
        // Set by the lab for the program in its guest.
        Row([.host], "inside-lab"),
    ]
    /// Scenarios of the user's own need no trust, and only `run` has a record to write.
    private static let untold = Row([], "trust record-model")
    private static let records = [Row([.sim], "lib"), lab, Row([.host], "inside-lab")]

    private static let rows: [String: [Row]] = [
        "run": scenarios + [
            Row(all, "trace record json seed bind timeout memory"), Row([.sim, .lab], "tlp"), Row([.sim], "inject"),
            Row([.sim, .host], "cpu"), Row([.host], "trust role rendezvous record-model"),
        ],
        "batch": scenarios + [
            untold,
            Row(
                all,
                "tag matrix list shuffle seed repeat shard only jobs timeout memory retries fail-fast failure-trace"),
            Row(all, "resume yes journal store no-store color slurm sbatch " + forms), Row([.lab], "lab-share"),
        ],
        "ab": scenarios + [untold, Row(all, "runs timeout set-b")],
        "bundle": scenarios + [untold, Row(all, "output redact")],
        "replay": records + [Row(all, "bench loose path timeout memory")],
        "minimise": records + [Row(all, "on until budget output timeout memory")],
        "plan": [Row([.sim], "set lib"), Row(all, "bench")],
        "lab": [Row(all, lab.options.joined(separator: " ") + " image script file result unbound timeout")],
        "bind": [Row(all, "state")], "restore": [Row(all, "state list forget")],
        "export": [Row(all, "c kselftest timeout memory")], "report": [Row(all, "timeout memory")], "help": [],
        // What it serves has options of its own.
        "device": [],
        "stubs": [Row(all, "markdown")], "results": [],
    ]

    /// Options that another one makes useless.
    private struct Conflict {
        let command: String
        /// The other one.
        let option: String
        let useless: [String]
        let reason: String

        init(_ command: String, _ option: String, _ useless: String, _ reason: String) {
            self.command = command
            self.option = option
            self.useless = useless.split(separator: " ").map(String.init)
            self.reason = reason
        }
    }

    private static let conflicts = [
        Conflict(
            "batch", "list",
            "retries fail-fast failure-trace timeout memory lab-share allow deny rules journal store no-store color slurm "
                + "sbatch " + forms, "--list runs nothing"),
        Conflict(
            "batch", "slurm", "shard only store lab-share " + forms,
            "each task of --slurm has a part of its own and a journal; peerlab results merge makes one result of them"),
        Conflict(
            "batch", "lab-share", "retries fail-fast shuffle seed", "with --lab-share one guest runs all, in its order"),
        Conflict("restore", "forget", "list", "--forget removes what --list would show"),
    ]

    /// What `--resume` reads, as the rest is the journal's.
    private static let resumed = Set(("resume yes journal " + forms).split(separator: " ").map(String.init))

    /// The options of a command that have a row.
    static func options(of command: String) -> Set<String> {
        Set(rows[command, default: []].flatMap(\.options))
    }

    /// Why an option does nothing for a command on a bench; nil where it does something.
    static func refusal(of option: String, _ command: String, on bench: Kind) -> String? {
        let benches = rows[command, default: []].filter { $0.options.contains(option) }.flatMap(\.benches)
        guard !benches.contains(bench) else { return nil }
        guard !benches.isEmpty else { return "--\(option) does nothing for peerlab \(command)" }
        let names = benches.map { $0 == .sim ? "simulated benches" : "--bench \($0.rawValue)" }
        return "--\(option) is for \(names.joined(separator: " and ")), and does nothing "
            + (bench == .sim ? "on a simulated bench" : "with --bench \(bench.rawValue)")
    }

    /// Why an option does nothing beside others; nil where it does something.
    static func refusal(of option: String, _ command: String, beside others: Set<String>) -> String? {
        if command == "batch", others.contains("resume"), !resumed.contains(option) {
            return "--resume goes on with the options that the batch was begun with: --\(option) is for another one"
        }
        for conflict in conflicts where conflict.command == command && others.contains(conflict.option) {
            if conflict.useless.contains(option) { return "\(conflict.reason): --\(option) would do nothing" }
        }
        switch (command, option) {
        case ("batch", "seed") where !others.contains("shuffle"): return "--seed is for --shuffle's order"
        case ("batch", "store") where others.contains("no-store") && !others.contains("html"):
            return "--no-store keeps the results in no store, and only --html reads one: --store would do nothing"
        default: return nil
        }
    }

    /// Refuses the options of a command line that do nothing.
    static func check(_ command: any ParsableCommand, _ words: [String]) throws {
        let name = type(of: command).configuration.commandName ?? ""
        // Of these all do something; some have a program's own options among their words.
        try checkRepeated(words, name)
        guard
            rows[name, default: []].contains(where: { $0.benches != all })
                || conflicts.contains(where: { $0.command == name })
        else { return }
        let bench = (command as? any BenchCommand).map { Kind($0.benchName) } ?? .sim
        let given = Set(words.prefix { $0 != "--" }.compactMap { option(in: $0) }).intersection(allNames)
        for option in given.sorted() {
            // The lab's guest is a host, on which what is for the lab does something as well.
            let isOfGuest = given.contains("inside-lab") && refusal(of: option, name, on: .lab) == nil
            let reason =
                (isOfGuest ? nil : refusal(of: option, name, on: bench))
                ?? refusal(of: option, name, beside: given.subtracting([option]))
            if let reason { throw ValidationError(reason) }
        }
    }

    /// Options that may be given several times; of any other one would be forgotten.
    private static let repeatable: Set<String> = [
        "inject", "bind", "lib", "set", "set-b", "image", "script", "file", "result", "sbatch", "matrix", "allow",
        "deny",
    ]

    private static func checkRepeated(_ words: [String], _ command: String) throws {
        // What follows of the lab's is another program's command line.
        guard command != "lab" else { return }
        var seen: Set<String> = []
        for option in words.prefix(while: { $0 != "--" }).compactMap({ option(in: $0) })
        where options(of: command).contains(option) && !repeatable.contains(option) && !seen.insert(option).inserted {
            throw ValidationError("--\(option) is given twice; it takes one value")
        }
    }

    private static let allNames = Set(rows.values.joined().flatMap(\.options))

    /// "bench" of "--bench" and "--bench=sim".
    private static func option(in word: String) -> String? {
        switch word {
        case "-o": return "output"
        case "-j": return "jobs"
        default:
            guard word.hasPrefix("--") else { return nil }
            return String(word.dropFirst(2).prefix { $0 != "=" })
        }
    }
}

extension Run: BenchCommand { var benchName: String { on.bench } }
extension BatchCommand: BenchCommand { var benchName: String { on.bench } }
extension ABCommand: BenchCommand { var benchName: String { on.bench } }
extension BundleCommand: BenchCommand { var benchName: String { on.bench } }
extension ReplayCommand: BenchCommand { var benchName: String { bench ?? "sim" } }
extension MinimiseCommand: BenchCommand { var benchName: String { place } }
extension PlanCommand: BenchCommand { var benchName: String { bench } }
