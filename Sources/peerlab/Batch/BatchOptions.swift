import Commands
import ArgumentParser
import Batch
import Glibc
import Kernel
import LuaKit
import Results
import Runner

/// Options that select and order scenarios.
struct BatchSelection: ParsableArguments {
    @Option(
        name: .customLong("tag"),
        help: ArgumentHelp("Only scenarios with these tags: 'tph and not slow'.", valueName: "EXPRESSION"))
    var tags: String?

    @Option(
        help: ArgumentHelp(
            "Run scenarios that have this option with each value, instead of their own matrix's row; those without it run as they are (--set is refused for them).",
            valueName: "option=A,B"))
    var matrix: [String] = []

    @OptionGroup var cases: CaseOption

    @Flag(help: "Print what would be run, and run nothing.")
    var list = false

    @Flag(help: "Run in random order; the seed is printed.")
    var shuffle = false

    @Option(help: ArgumentHelp("The order's seed, 0 or more, with --shuffle.", valueName: "NUMBER"))
    var seed: UInt64?

    @Option(name: .customLong("repeat"), help: ArgumentHelp("Run each so often.", valueName: "N"))
    var repeats = 1

    @Option(
        help: ArgumentHelp(
            "Run this part of all: 2/5; auto takes it from Slurm's array or step.", valueName: "I/N|auto"))
    var shard: String?

    /// A file of ids separated by NUL: only these are run. Set for the batch in a lab's guest.
    @Option(help: .hidden)
    var only: String?

    func validate() throws {
        guard (1...1_000_000).contains(repeats) else { throw ValidationError("--repeat is 1 to 1000000") }
        if let tags { _ = try expression(tags) }
        _ = try rows()
        _ = try part()
    }

    func expression(_ text: String) throws -> TagExpression {
        do throws(TagExpression.Invalid) { return try TagExpression(text) } catch {
            throw ValidationError("--tag: \(error.message)")
        }
    }

    func rows() throws -> [(option: String, values: [String])] {
        var rows: [(option: String, values: [String])] = []
        for text in matrix {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw ValidationError("--matrix takes option=A,B, not '\(text)'")
            }
            let values = parts[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            guard Set(values).count == values.count else { throw ValidationError("--matrix \(text) has a value twice") }
            guard !rows.contains(where: { $0.option == parts[0] }) else {
                throw ValidationError("--matrix \(parts[0]) is given twice; name all its values at once")
            }
            rows.append((parts[0], values))
        }
        return rows
    }

    func part() throws -> Shard? {
        guard let shard else { return nil }
        guard let part = shard == "auto" ? Launcher().shard : Shard(shard) else {
            throw ValidationError(
                shard == "auto"
                    ? "--shard auto: neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set"
                    : "--shard is I/N, such as 2/5")
        }
        return part
    }
}

/// Options for running them.
struct BatchRunning: ParsableArguments {
    @Option(
        name: [.customShort("j", allowingJoined: true), .long],
        help: ArgumentHelp("How many run at a time; default: one for each CPU.", valueName: "N"))
    var jobs: Int?

    @Option(
        help: ArgumentHelp(
            "How long a scenario may take; its own timeout counts where it is less. Default: its own, up to 1h, else 5m.",
            valueName: "30s"))
    var timeout: String?

    @Option(
        help: ArgumentHelp(
            "Memory for a script, and for what it makes its process hold; a scenario's own limit counts where it is less. Default: 1G.",
            valueName: "256M"))
    var memory: String?

    @Option(help: ArgumentHelp("Try what does not pass so often again; what passes then is flaky.", valueName: "N"))
    var retries = 0

    @OptionGroup var expect: ExpectOption

    @Flag(help: "Start no more after the first that does not pass.")
    var failFast = false

    @Option(help: ArgumentHelp("How many of the last calls a failure's result has; 0 for none.", valueName: "LINES"))
    var failureTrace = 100

    @Option(
        help: ArgumentHelp(
            "Keep a record of each run that does not end as it should in DIR, as run --record writes it.",
            valueName: "DIR"))
    var recordFailures: String?

    /// Where the only run of a batch in the lab's guest writes its record.
    @Option(help: .hidden)
    var recordFile: String?

    @Flag(help: "Run all in one guest of the lab, instead of booting one for each; the guest's kernel is then shared.")
    var labShare = false

    @Flag(help: "Go on with the last batch that was killed or interrupted, or with --journal's.")
    var resume = false

    @Flag(help: "With --resume --journal FILE: run what the journal says without asking.")
    var yes = false

    func validate() throws {
        guard !yes || resume else { throw ValidationError("--yes goes with --resume") }
        _ = try Limits(timeout: timeout, memory: memory)
        guard (1...4096).contains(jobs ?? 1) else { throw ValidationError("--jobs is 1 to 4096") }
        guard (0...1000).contains(retries) else { throw ValidationError("--retries is 0 to 1000") }
        guard (0...100_000).contains(failureTrace) else { throw ValidationError("--failure-trace is 0 to 100000") }
    }

    /// The limits of a run whose scenario declares `own`.
    func limits(for own: Limits) -> Limits {
        let given = (try? Limits(timeout: timeout, memory: memory)) ?? Limits()
        let time = own.timeout ?? given.timeout ?? BatchRunning.usualTime
        let memory = given.memory ?? Limits.defaultMemory
        return Limits(
            timeout: min(time, given.timeout ?? BatchRunning.longestTime), memory: min(own.memory ?? memory, memory))
    }

    /// Without an option, seconds: the limit of a scenario that declares none, and the cap on declared limits.
    private static let usualTime = 300.0, longestTime = 3600.0

    var workers: Int { jobs ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}

/// Options for a batch's results.
struct BatchOutput: ParsableArguments {
    @OptionGroup var forms: FormOptions
    @Option(help: ArgumentHelp("Keep the journal in FILE; default: below XDG_STATE_HOME.", valueName: "FILE"))
    var journal: String?
    @Option(
        help: ArgumentHelp(
            "Keep the results in FILE, for peerlab results; default: below XDG_DATA_HOME.", valueName: "FILE"))
    var store: String?
    @OptionGroup var name: LabelOption
    @Flag(help: "Keep the results in no store.")
    var noStore = false
    @Option(help: "Colours: auto, always or never; NO_COLOR is obeyed.")
    var color: ColorChoice = .auto
}
