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
            --set-b option=value. Exit codes: 0 B is not worse, 1 it is, 2 a run did not pass.
            """)

    @OptionGroup var on: BenchOptions
    @Option(help: ArgumentHelp("Runs of each.", valueName: "N")) var runs = 30
    @Option(help: ArgumentHelp("How long a run may take.", valueName: "30s")) var timeout = "5m"
    @Option(name: .customLong("set-b"), help: ArgumentHelp("Set an option for B alone.", valueName: "option=value"))
    var settingsB: [String] = []
    @ArgumentParser.Argument(help: "The scenario before.") var a: String
    @ArgumentParser.Argument(help: "The scenario after.") var b: String

    func validate() throws {
        guard (Comparison.fewest...100_000).contains(runs) else {
            throw ValidationError("--runs is \(Comparison.fewest) to 100000: fewer show nothing")
        }
        guard Limits.seconds(timeout) != nil else { throw ValidationError("--timeout is such as 30s, 5m or 2h") }
        _ = try settingsB.map(BenchOptions.pair)
    }

    func run() throws {
        let process = try BatchProcess(on, failureTrace: 0)
        print(process.bench?.line ?? "bench: lab", to: STDOUT_FILENO)
        process.warmUp()
        let first = try changes(process)
        var isWorse = first.contains { $0.verdict == .worse }
        for change in first { print(ResultsText.line(change), to: STDOUT_FILENO) }
        if isWorse {
            print("worse; \(runs) more runs of each, to confirm it", to: STDERR_FILENO)
            let again = try changes(process)
            let names = Set(first.filter { $0.verdict == .worse }.map(\.name))
            let confirmed = again.filter { $0.verdict == .worse && names.contains($0.name) }
            for change in again where names.contains(change.name) {
                print("again: " + ResultsText.line(change), to: STDOUT_FILENO)
            }
            isWorse = !confirmed.isEmpty
            print(isWorse ? "confirmed: B is worse" : "not confirmed: it was chance, or has passed", to: STDOUT_FILENO)
        }
        print(ResultsText.summary(first), to: STDOUT_FILENO)
        throw ExitCode(isWorse ? ExitStatus.fail.rawValue : ExitStatus.pass.rawValue)
    }

    private func changes(_ process: BatchProcess) throws -> [Change] {
        var samples = [Samples(), Samples()]
        // A B B A A B B A
        let order = (0..<(2 * runs)).map { ($0 + 1) / 2 % 2 }
        var next = 0
        var failure: String?
        let extra = try settingsB.map(BenchOptions.pair)
        let workers = Workers(jobs: 1) { [a, b] task in
            let isB = order[task.index] == 1
            return process.run(isB ? b : a, isB ? extra : [], task)
        }
        try workers.run(
            next: {
                guard failure == nil, next < order.count else { return nil }
                next += 1
                let seconds = Limits.seconds(timeout) ?? 300
                var task = BatchTask(id: order[next - 1] == 1 ? b : a, index: next - 1, timeout: seconds)
                task.runsScenario = process.bench != nil
                if task.runsScenario { task.timeLimit = Limits.text(seconds, isScenarios: false) }
                return task
            },
            finished: { task, ending in
                let verdict = BatchVerdict(ending, task)
                let (attempt, report) = (verdict.attempt, verdict.report)
                guard attempt.outcome == .pass else {
                    failure = failure ?? "\(task.id): \(attempt.outcome.rawValue): \(attempt.reason ?? "")"
                    return
                }
                var record = Record(id: task.id, file: task.id, outcome: .pass, started: "", limits: Limits())
                record.cpu_ns = ending.cpu
                record.result = report?.result
                samples[order[task.index]].add("", record)
            })
        if Workers.isInterrupted { throw ExitCode(ExitStatus.interrupted.rawValue) }
        if let failure {
            print("peerlab: \(failure)", to: STDERR_FILENO)
            throw ExitCode(ExitStatus.usage.rawValue)
        }
        return Samples.compare(samples[0], samples[1])
    }
}
