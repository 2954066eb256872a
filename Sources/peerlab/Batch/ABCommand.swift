import Commands
import ArgumentParser
import Batch
import CKernel
import Glibc
import Kernel
import LuaKit
import Results
import Runner

/// `peerlab ab`
struct ABCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ab",
        abstract: "Compare what two scenarios measure, each run many times in turn.",
        discussion: """
            The order is A B B A, so that a machine that grows slower harms neither; each run is a process of its own. A \
            regression is called only when as many further runs show it again. Both files may be the same, with \
            --set-b option=value. The level of significance is 1 % for all verdicts together, corrected for the number of \
            measurements (Holm, Tarone), as p is; the interval of a change has 99 % confidence or more. Same means that it \
            lies within 5 % either way, be there a smaller change or not; where no change is found and a greater one is \
            possible, it is undecided, with the runs that would tell. On a simulated bench times and rates are the model's: of \
            traffic by this machine's clock, of sys.now by the virtual clock. Of several values that one run has of a measurement the median counts; processor time is \
            shown and decides nothing. A run whose guest of the lab dies counts as that, and the next one has another guest. \
            Exit codes: 0 B is not worse, 1 it is, or measures less, or skips or lacks a case, or its guests alone died, 2 a \
            run did not pass, or guests of A died, 3 it is not worse, as far as it can be said: of some measurement nothing can.
            Progress goes to stderr. With --store or --keep, A and B are kept as two batches, for peerlab results.
            """)

    @OptionGroup var on: BenchOptions
    @Option(help: ArgumentHelp("Runs of each.", valueName: "N")) var runs = 30
    @Option(help: ArgumentHelp("How long a run may take.", valueName: "30s")) var timeout = "5m"
    @Option(name: .customLong("set-b"), help: ArgumentHelp("Set an option for B alone.", valueName: "option=value"))
    var settingsB: [String] = []
    @OptionGroup(title: "Results") var output: ABOutput
    @ArgumentParser.Argument(help: "The scenario before.", completion: .custom(Completions.scenarios)) var a: String
    @ArgumentParser.Argument(help: "The scenario after.", completion: .custom(Completions.scenarios)) var b: String

    func validate() throws {
        let fewest = MannWhitney.fewest(level: Samples.level)
        guard (fewest...100_000).contains(runs) else {
            throw ValidationError("--runs is \(fewest) to 100000: fewer cannot show any difference")
        }
        guard Limits.seconds(timeout) != nil else { throw ValidationError("--timeout is such as 30s, 5m or 2h") }
        _ = try pairsB()
    }

    func pairsB() throws -> [(name: String, value: String)] {
        try settingsB.map { try BenchOptions.pair($0, of: "--set-b") }
    }

    mutating func run() throws {
        a = try ShippedScenarios.path(a)
        b = try ShippedScenarios.path(b)
        let results = try ABResults(self)
        let out = results.descriptor
        let process = try BatchProcess(on, failureTrace: 0)
        print(process.benchLine, to: out)
        process.warmUp()
        try results.begin(process)
        let first = try measure(process, results)
        var deaths = first.deaths
        let comparison = BatchComparison(first.found[0], first.found[1])
        // The case without a name is the whole run, which always passes or dies.
        for run in comparison.runs where run.kind != .new && run.isOfCase {
            print(ResultsText.line(run), to: out)
        }
        for name in comparison.unmeasured { print("not measured by B: \(name.text)", to: out) }
        for name in comparison.measuredAnew { print("not measured by A: \(name.text)", to: out) }
        var changes = comparison.changes
        var again: [Change] = []
        let worse = Set(changes.filter { $0.verdict == .worse }.map(\.name))
        let simulated = process.bench?.isSimulated ?? false
        for change in changes { print(ResultsText.line(change, simulated: simulated), to: out) }
        let notes = ResultsText.notes(changes, inTurn: true, simulated: simulated)
        if !worse.isEmpty {
            print("worse; \(runs) more runs of each, to confirm it", to: STDERR_FILENO)
            let more = try measure(process, nil)
            again = Samples.compare(more.found[0].samples.only(worse), more.found[1].samples.only(worse))
            deaths = zip(deaths, more.deaths).map { $0 + $1 }
            for change in again { print("again: " + ResultsText.line(change, simulated: simulated), to: out) }
            let confirmed = Set(again.filter { $0.verdict == .worse }.map(\.name))
            changes = changes.map { worse.subtracting(confirmed).contains($0.name) ? $0.unconfirmed : $0 }
            print(
                confirmed.isEmpty ? "not confirmed: it was chance, or has passed" : "confirmed: B is worse",
                to: out)
        }
        let gone = comparison.unmeasured.count
        notes.forEach { print($0, to: out) }
        print(
            ResultsText.summary(changes) + (gone == 0 ? "" : ", \(gone) no longer measured"), to: out)
        let isLess = gone > 0 || comparison.runs.contains { $0.kind.isWorse }
        let status = ABCommand.status(changes, isLess: isLess, deaths: deaths, out)
        try results.end(comparison, changes, again: again, notes: notes, status)
        throw ExitCode(status.rawValue)
    }

    /// `isLess`: B measures less, or tries fewer cases, than A. `deaths`: numbers of guests of A and of B that died.
    static func status(
        _ changes: [Change], isLess: Bool, deaths: [Int], _ out: Int32 = STDOUT_FILENO
    ) -> ExitStatus {
        if deaths.contains(where: { $0 > 0 }) {
            print("guests that died: \(deaths[0]) of A, \(deaths[1]) of B", to: out)
        }
        let isNewlyDying = deaths[0] == 0 && deaths[1] > 0
        if isNewlyDying || isLess || changes.contains(where: { $0.verdict == .worse }) { return .fail }
        if deaths[0] > 0 { return .usage }
        return changes.contains { $0.verdict == .undecided } ? .undecided : .pass
    }

    /// Checks that N runs can give a verdict. All measurements share the level of significance; their number is known
    /// from the first two runs.
    private func check(_ count: Int) throws {
        let needed = MannWhitney.fewest(level: Samples.level / Double(max(count, 1)))
        guard runs < needed else { return }
        throw ValidationError(
            "--runs \(runs) can decide nothing about \(count) measurements at once: it takes at least \(needed)")
    }

    /// Runs A and B alternately; returns the findings of each, and the numbers of their guests that died.
    private func measure(_ process: BatchProcess, _ results: ABResults?) throws -> (
        found: [BatchFindings], deaths: [Int]
    ) {
        var found = [BatchFindings(), BatchFindings()]
        var deaths = [0, 0], passed = [0, 0]
        // A B B A A B B A
        let order = (0..<(2 * runs)).map { ($0 + 1) / 2 % 2 }
        var next = 0
        var failure: String?
        var refusal: (any Error)?
        let extra = try pairsB()
        let workers = Workers(jobs: 1) { [a, b] task in
            let isB = order[task.index] == 1
            return process.run(isB ? b : a, isB ? extra : [], task)
        }
        var progress = Progress(total: order.count, done: 0, color: output.color.isOn(STDERR_FILENO))
        var totals = Totals()
        workers.tick = { [unowned workers] in progress.show(totals, running: workers.names, at: sys_monotonic()) }
        defer { progress.end() }
        try workers.run(
            next: {
                guard failure == nil, refusal == nil, next < order.count else { return nil }
                next += 1
                let seconds = Limits.seconds(timeout) ?? 300
                var task = BatchTask(
                    id: order[next - 1] == 1 ? b : a, index: next - 1, timeout: seconds,
                    memory: process.bench == nil ? 0 : Limits.defaultMemory + Confinement.modelMemory)
                task.runsScenario = process.bench != nil
                if task.runsScenario { task.timeLimit = Limits.text(seconds, isScenarios: false) }
                return task
            },
            finished: { task, ending in
                let verdict = BatchVerdict(ending, task)
                let (attempt, report) = (verdict.attempt, verdict.report)
                let side = order[task.index]
                totals.add(attempt.outcome, flaky: false)
                if let death = ABCommand.death(report?.result) {
                    progress.end()
                    print("\(task.id): \(attempt.reason ?? death.text)", to: STDERR_FILENO)
                    deaths[side] += 1
                    return
                }
                guard attempt.outcome == .pass || attempt.outcome == .expectedFailure else {
                    failure = failure ?? "\(task.id): \(attempt.outcome.rawValue): \(attempt.reason ?? "")"
                    return
                }
                // An empty id for both sides, so that they compare as one run.
                var record = RunRecord(
                    id: "", file: "", outcome: attempt.outcome, started: BatchJournal.timestamp(), limits: Limits())
                record.attempts = [attempt]
                record.cpu_ns = ending.cpu
                record.result = report?.result
                found[side].add(record)
                passed[side] += 1
                do { try results?.add(record, side, number: passed[side]) } catch { refusal = refusal ?? error }
                // The first pair of runs is complete.
                if passed[side] == 1, passed[1 - side] > 0 {
                    do { try check(Samples.judged(found[0].samples, found[1].samples)) } catch { refusal = error }
                }
            })
        if Workers.isInterrupted { throw ExitCode(ExitStatus.interrupted.rawValue) }
        if let failure {
            print("peerlab: \(failure)", to: STDERR_FILENO)
            throw ExitCode(ExitStatus.usage.rawValue)
        }
        if let refusal { throw refusal }
        return (found, deaths)
    }

    /// The kind of error of a case whose guest died; nil where none did.
    static func death(_ result: ScenarioResult?) -> ErrorKind? {
        result?.cases.lazy.compactMap { $0.error?.kind }.first(where: RunProgress.Death.ofGuests.contains)
    }
}
