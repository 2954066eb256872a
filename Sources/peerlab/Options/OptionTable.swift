import ArgumentParser
import Runner

/// A command that runs on a bench.
protocol BenchCommand: ParsableCommand {
    /// The value of `--bench`.
    var benchName: String { get }
}

/// The options of each command that have an effect, by bench. Options without effect are refused before anything runs.
/// Every option of every command has a row; a test compares the table with the parser's own list.
enum OptionTable {
    /// The kind of bench.
    enum Kind: String, CaseIterable {
        case sim, lab, host

        /// From the value of `--bench`; invalid values are refused elsewhere.
        init(_ name: String) { self = Kind(rawValue: name) ?? .sim }
    }

    /// Options of a command with an effect on the same benches.
    private struct Row {
        let benches: [Kind]
        /// Names of options, with spaces between them: they are needed only where an option is given.
        let text: String
        var options: [Substring] { text.split(separator: " ") }

        init(_ benches: [Kind], _ text: String) {
            self.benches = benches
            self.text = text
        }
    }

    private static let forms = "ktap tap junit json jsonl csv html"
    private static let all = Kind.allCases
    /// Options that configure the guest.
    private static let lab = Row(
        [.lab], "lab-kernel lab-tph lab-importer lab-machine lab-clock lab-accel lab-exporter lab-nic")
    /// Without `allow` on a simulated bench, where everything is granted.
    private static let scenarios = [
        Row(all, "bench set tph-abi lib deny rules"), Row([.lab, .host], "allow"), lab,
        // Set by the lab for the program in its guest.
        Row([.host], "inside-lab"),
    ]
    /// Options without effect: the user's own scenarios need no trust, and no record is written.
    private static let untold = Row([], "trust record-model")
    private static let records = [Row([.sim], "lib"), lab, Row([.host], "inside-lab")]

    private static let rows: [String: [Row]] = [
        "run": scenarios + [
            Row(all, "trace record expect case json seed bind timeout memory"), Row([.sim, .lab], "tlp"),
            Row([.sim], "inject"),
            Row([.sim, .host], "cpu"), Row([.host], "trust role rendezvous record-model"),
        ],
        "batch": scenarios + [
            Row([], "trust"),
            Row(
                all,
                "tag matrix case list shuffle seed repeat shard only jobs timeout memory retries fail-fast failure-trace"
            ),
            Row(all, "expect record-failures resume yes journal store label no-store color slurm sbatch " + forms),
            Row([.lab], "lab-share"), Row([.host], "record-model record-file"),
        ],
        "ab": scenarios + [untold, Row(all, "runs timeout set-b json csv html store keep label color")],
        "bundle": scenarios + [untold, Row(all, "output redact")],
        "replay": records + [Row(all, "bench loose path timeout memory")],
        "minimise": records + [Row(all, "on until budget output timeout memory")],
        "plan": [Row([.sim], "set lib"), Row(all, "bench")],
        "doctor": [
            Row(all, "bench for set device json svg lib"), Row([.host], "open"), lab,
            Row([.host], "inside-lab lab-scripts"),
        ],
        "check": [Row(all, "json lib")], "init": [],
        "repl": [
            Row(all, "bench"), Row([.sim, .host], "lib deny rules tph-abi"), Row([.host], "allow"), Row([], "trust"),
        ],
        "lab": [Row(all, lab.text + " image script file result unbound timeout")],
        "bind": [Row(all, "state")], "restore": [Row(all, "state list forget")],
        "export": [Row(all, "c kselftest timeout memory")], "report": [Row(all, "kernel-tree timeout memory")],
        "help": [],
        // Its subcommands have options of their own.
        "device": [],
        "stubs": [Row(all, "markdown")], "results": [], "list": [Row(all, "tag json")],
    ]

    /// Options that another option makes useless.
    private struct Conflict {
        let command: String
        /// The other option.
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
            "case retries fail-fast failure-trace timeout memory expect record-failures lab-share allow deny rules journal "
                + "store label no-store color slurm sbatch " + forms, "--list runs nothing"),
        Conflict(
            "batch", "slurm", "shard only store lab-share " + forms,
            "each task of --slurm has a part of its own and a journal; peerlab results merge makes one result of them"),
        Conflict(
            "batch", "lab-share", "retries fail-fast shuffle seed record-failures",
            "with --lab-share one guest runs all, in its order"),
        Conflict("restore", "forget", "list", "--forget removes what --list would show"),
    ]

    /// Options that have an effect beside `--resume`; the others come from the journal.
    private static let resumed = Set(("resume yes journal " + forms).split(separator: " ").map(String.init))

    /// The options of a command that have a row.
    static func options(of command: String) -> Set<String> {
        Set(rows[command, default: []].flatMap(\.options).map(String.init))
    }

    /// Why an option has no effect for a command on a bench; nil where it has one.
    static func refusal(of option: String, _ command: String, on bench: Kind) -> String? {
        let benches = rows[command, default: []].filter { $0.options.contains(option[...]) }.flatMap(\.benches)
        guard !benches.contains(bench) else { return nil }
        guard !benches.isEmpty else { return "--\(option) does nothing for peerlab \(command)" }
        let names = benches.map { $0 == .sim ? "simulated benches" : "--bench \($0.rawValue)" }
        return "--\(option) is for \(names.joined(separator: " and ")), and does nothing "
            + (bench == .sim ? "on a simulated bench" : "with --bench \(bench.rawValue)")
    }

    /// Why an option has no effect beside others; nil where it has one.
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

    /// Refuses options of a command line that have no effect.
    static func check(_ command: any ParsableCommand, _ words: [String]) throws {
        let name = type(of: command).configuration.commandName ?? ""
        // Most command lines have no option: then nothing of the table is read.
        let words = Array(words.prefix { $0 != "--" })
        let options = Set(words.compactMap { option(in: $0) })
        guard !options.isEmpty else { return }
        // Before the return below: commands without restricted options need only this check.
        try checkRepeated(words, name)
        guard
            rows[name, default: []].contains(where: { $0.benches != all })
                || conflicts.contains(where: { $0.command == name })
        else { return }
        let bench = (command as? any BenchCommand).map { Kind($0.benchName) } ?? .sim
        let given = options.intersection(allNames)
        for option in given.sorted() {
            // In the lab's guest the bench is `host`, but options for the lab have an effect too.
            let isOfGuest = given.contains("inside-lab") && refusal(of: option, name, on: .lab) == nil
            let reason =
                (isOfGuest ? nil : refusal(of: option, name, on: bench))
                ?? refusal(of: option, name, beside: given.subtracting([option]))
            if let reason { throw ValidationError(reason) }
        }
    }

    /// Options that may be given several times; a second value of any other one would be ignored.
    private static let repeatable: Set<String> = [
        "case", "inject", "bind", "lib", "set", "set-b", "image", "script", "file", "result", "sbatch", "matrix",
        "allow",
        "deny",
    ]

    private static func checkRepeated(_ words: [String], _ command: String) throws {
        // Later words of `peerlab lab` are another program's command line.
        guard command != "lab" else { return }
        var seen: Set<String> = []
        let known = options(of: command)
        for option in words.compactMap({ option(in: $0) })
        where known.contains(option) && !repeatable.contains(option) && !seen.insert(option).inserted {
            throw ValidationError("--\(option) is given twice; it takes one value")
        }
    }

    private static let allNames = Set(rows.values.joined().flatMap(\.options).map(String.init))

    /// "bench" for "--bench" and "--bench=sim".
    private static func option(in word: String) -> String? {
        switch word {
        case "-o": return "output"
        // With its value: -j8.
        case _ where word.hasPrefix("-j"): return "jobs"
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
extension DoctorCommand: BenchCommand { var benchName: String { bench } }
extension ReplCommand: BenchCommand { var benchName: String { bench } }
