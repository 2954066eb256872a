import Commands
import ArgumentParser
import Batch
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
            --set-b option=value. A run whose guest of the lab dies counts as that, and the next one has another guest. Exit \
            codes: 0 B is not worse, 1 it is, or measures less, or its guests alone died, 2 a run did not pass, or guests of A \
            died, 3 it is not worse, as far as it can be said: of some measurement nothing can.
            """)

    @OptionGroup var on: BenchOptions
    @Option(help: ArgumentHelp("Runs of each.", valueName: "N")) var runs = 30
    @Option(help: ArgumentHelp("How long a run may take.", valueName: "30s")) var timeout = "5m"
    @Option(name: .customLong("set-b"), help: ArgumentHelp("Set an option for B alone.", valueName: "option=value"))
    var settingsB: [String] = []
    @ArgumentParser.Argument(help: "The scenario before.") var a: String
    @ArgumentParser.Argument(help: "The scenario after.") var b: String

    func validate() throws {
        let fewest = MannWhitney.fewest(level: Samples.level)
        guard (fewest...100_000).contains(runs) else {
            throw ValidationError("--runs is \(fewest) to 100000: fewer cannot show any difference")
        }
        guard Limits.seconds(timeout) != nil else { throw ValidationError("--timeout is such as 30s, 5m or 2h") }
        _ = try settingsB.map(BenchOptions.pair)
    }

    func run() throws {
        let process = try BatchProcess(on, failureTrace: 0)
        print(process.bench?.line ?? "bench: lab", to: STDOUT_FILENO)
        process.warmUp()
        let first = try measure(process)
        let samples = first.samples
        var deaths = first.deaths
        var changes = Samples.compare(samples[0], samples[1])
        let gone = samples[0].declared.subtracting(samples[1].declared).sorted(by: NaturalOrder.precedes)
        for name in gone { print("not measured by B: \(name)", to: STDOUT_FILENO) }
        for name in samples[1].declared.subtracting(samples[0].declared).sorted(by: NaturalOrder.precedes) {
            print("not measured by A: \(name)", to: STDOUT_FILENO)
        }
        let worse = Set(changes.filter { $0.verdict == .worse }.map(\.name))
        for change in changes where change.isDeclared || change.verdict != .undecided {
            print(ResultsText.line(change), to: STDOUT_FILENO)
        }
        if !worse.isEmpty {
            print("worse; \(runs) more runs of each, to confirm it", to: STDERR_FILENO)
            let more = try measure(process)
            let again = Samples.compare(more.samples[0].only(worse), more.samples[1].only(worse))
            deaths = zip(deaths, more.deaths).map { $0 + $1 }
            for change in again { print("again: " + ResultsText.line(change), to: STDOUT_FILENO) }
            let confirmed = Set(again.filter { $0.verdict == .worse }.map(\.name))
            changes = changes.map { worse.subtracting(confirmed).contains($0.name) ? $0.unconfirmed : $0 }
            print(
                confirmed.isEmpty ? "not confirmed: it was chance, or has passed" : "confirmed: B is worse",
                to: STDOUT_FILENO)
        }
        print(
            ResultsText.summary(changes) + (gone.isEmpty ? "" : ", \(gone.count) no longer measured"), to: STDOUT_FILENO
        )
        throw ExitCode(ABCommand.status(changes, gone: gone, deaths: deaths).rawValue)
    }

    /// `deaths`: how many guests of A and of B have died.
    static func status(_ changes: [Change], gone: [String], deaths: [Int]) -> ExitStatus {
        if deaths.contains(where: { $0 > 0 }) {
            print("guests that died: \(deaths[0]) of A, \(deaths[1]) of B", to: STDOUT_FILENO)
        }
        let isNewlyDying = deaths[0] == 0 && deaths[1] > 0
        if isNewlyDying || !gone.isEmpty || changes.contains(where: { $0.verdict == .worse }) { return .fail }
        if deaths[0] > 0 { return .usage }
        return changes.contains { $0.verdict == .undecided } ? .undecided : .pass
    }

    /// A verdict of N runs has to share the level with the other measurements, of which the first two runs tell.
    private func check(_ count: Int) throws {
        let needed = MannWhitney.fewest(level: Samples.level / Double(max(count, 1)))
        guard runs < needed else { return }
        throw ValidationError(
            "--runs \(runs) can decide nothing about \(count) measurements at once: it takes at least \(needed)")
    }

    /// Runs both in turn, and gives what each measured, and how many of its guests died.
    private func measure(_ process: BatchProcess) throws -> (samples: [Samples], deaths: [Int]) {
        var samples = [Samples(), Samples()]
        var deaths = [0, 0], passed = [0, 0]
        // A B B A A B B A
        let order = (0..<(2 * runs)).map { ($0 + 1) / 2 % 2 }
        var next = 0
        var failure: String?
        var refusal: (any Error)?
        let extra = try settingsB.map(BenchOptions.pair)
        let workers = Workers(jobs: 1) { [a, b] task in
            let isB = order[task.index] == 1
            return process.run(isB ? b : a, isB ? extra : [], task)
        }
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
                if let death = ABCommand.death(report?.result) {
                    print("\(task.id): \(attempt.reason ?? death)", to: STDERR_FILENO)
                    deaths[side] += 1
                    return
                }
                guard attempt.outcome == .pass else {
                    failure = failure ?? "\(task.id): \(attempt.outcome.rawValue): \(attempt.reason ?? "")"
                    return
                }
                var record = Record(id: task.id, file: task.id, outcome: .pass, started: "", limits: Limits())
                record.cpu_ns = ending.cpu
                record.result = report?.result
                samples[side].add("", record)
                passed[side] += 1
                // The first that both have.
                if passed[side] == 1, passed[1 - side] > 0 {
                    do { try check(max(samples[0].count, samples[1].count)) } catch { refusal = error }
                }
            })
        if Workers.isInterrupted { throw ExitCode(ExitStatus.interrupted.rawValue) }
        if let failure {
            print("peerlab: \(failure)", to: STDERR_FILENO)
            throw ExitCode(ExitStatus.usage.rawValue)
        }
        if let refusal { throw refusal }
        return (samples, deaths)
    }

    /// The kind of the error of a case whose guest died; nil where none did.
    static func death(_ result: ScenarioResult?) -> String? {
        result?.cases.lazy.compactMap { $0.error?.kind }.first(where: RunProgress.Death.ofGuests.contains)
    }
}
