import Commands
import ArgumentParser
import Bindings
import Batch
import FoundationEssentials
import Glibc
import Kernel
import LabBench
import LuaKit
import Results
import Runner
import Synchronization

/// The work of a run's process: runs one scenario and reports on descriptor 3.
final class BatchProcess {
    /// nil for the lab, which each process boots itself.
    let bench: Bench?
    private let on: BenchOptions
    private let failureTrace: Int
    private let expected: ExpectedFailures
    private let cases: CaseSelection?
    private let library: Library
    private let grants: Grants

    /// `failureTrace`: number of last calls in a failure's result.
    init(
        _ on: BenchOptions, failureTrace: Int, expected: ExpectedFailures = ExpectedFailures(),
        cases: CaseSelection? = nil
    ) throws {
        self.expected = expected
        self.cases = cases
        self.on = on
        self.failureTrace = failureTrace
        library = on.library
        let tph = try on.tph()
        switch try BenchChoice(on.bench) {
        case .sim(let name): bench = try SimBench.make(name, tph: tph, library: library)
        case .host: bench = HostBench.make(tph: tph, insideLab: on.insideLab)
        case .lab: bench = nil
        }
        grants = try on.grants.grants(on: bench?.kind ?? "lab")
    }

    /// The bench's line in reports and in the journal.
    var benchLine: String { bench?.line ?? "bench: lab (\(on.lab.inside))" }

    /// Runs an empty script once, so that caches of Swift's runtime are filled before processes are forked.
    func warmUp() {
        guard let bench, bench.isSimulated else { return }
        _ = ChildStory(ChildMessage.lines(report(on: bench, "/dev/null", [], Grants(), nil, emit: { _ in })))
    }

    /// Runs in the child. `record`: the file of the run's record; nil for none.
    func run(
        _ file: String, _ cell: [(name: String, value: String)], _ task: BatchTask, record path: String? = nil
    ) -> Int32 {
        let settings = ((try? on.pairs()) ?? []).filter { pair in !cell.contains { $0.name == pair.name } }
        let all = settings + cell
        let report: ChildReport
        if var bench {
            let confinement =
                bench.isSimulated
                ? Confinement(simulated: [file], library, memory: 0)
                : Confinement(
                    real: [file], library, insideLab: on.insideLab != nil, granted: grants.devices,
                    port: nil, isRaw: RawDeclaration.opensAnyFile([file], grants, library, on: bench))
            var grants = grants
            if bench.kind == "host" { grants.paths = confinement.paths }
            let watched = Watched(
                task: task, kernelLog: bench.isSimulated ? nil : KernelLog(),
                host: on.insideLab == nil ? nil : GuestLine())
            if let inside = on.insideLab {
                bench = HostBench.make(tph: bench.tph, insideLab: inside, capture: GuestCapture())
            }
            let record: RecordFile?
            do { record = try path.map { try self.record($0, of: file, on: bench, all) } } catch {
                let reason = (error as? Failure)?.message ?? Run.message(for: error)
                let unusable = ChildReport(unusable: "its record cannot be written: \(reason)")
                return writeAll(ChildMessage.lines(unusable), to: 3) ? 0 : 1
            }
            bench.sandbox = confinement.apply()
            LuaState.tellPosition(to: 3)
            report = self.report(on: bench, file, all, grants, watched, record) { print($0, to: STDOUT_FILENO) }
            _ = record?.finish()
            return writeAll(ChildMessage(report).line, to: 3) ? 0 : 1
        }
        report = runInLab(file, all)
        return writeAll(ChildMessage.lines(report), to: 3) ? 0 : 1
    }

    private func record(
        _ path: String, of file: String, on bench: Bench, _ settings: [(name: String, value: String)]
    ) throws -> RecordFile {
        try RecordFile(
            try FailureRecords.open(path), of: [library.shown(file)], on: bench, model: recordModel(on, bench),
            settings: settings.map { "\($0.name)=\($0.value)" })
    }

    /// Receivers of progress, and observers, of a run.
    private struct Watched {
        let task: BatchTask
        let kernelLog: KernelLog?
        /// In the lab's guest.
        let host: GuestLine?
    }

    /// Runs in the child: boots a guest for this run alone, in which its limits hold.
    func runInGuest(_ id: String, of file: String, _ guest: LabGuest, record: String? = nil) -> Int32 {
        var report = ChildReport(unusable: "the guest has no result of it")
        do {
            let output = try record.map { path throws(Failure) in try ResultFile(path) }
            _ = try guest.run([id], of: [file], record: output) { report = ChildReport($0) }
        } catch {
            report = ChildReport(unusable: (error as? Failure)?.message ?? Run.message(for: error))
        }
        return writeAll(ChildMessage.lines(report), to: 3) ? 0 : 1
    }

    private func report(
        on bench: Bench, _ file: String, _ settings: [(name: String, value: String)], _ grants: Grants,
        _ watched: Watched?, _ record: RecordFile? = nil, emit: @escaping (String) -> Void
    ) -> ChildReport {
        let ring = TraceRing(limit: failureTrace)
        var context = RunContext(bench, library)
        context.limits = Limits(timeout: watched?.task.timeout, memory: watched?.task.scriptMemory)
        context.timeLimit = watched?.task.timeLimit
        context.permissions = { Permissions(grants) }
        if failureTrace > 0 { context.tracing.line = { ring.add($0) } }
        if let record {
            context.tracing.attach = { record.watch($0) }
            context.sinks.notes = { record.note($0) }
        }
        context.kernelLog = watched?.kernelLog
        context.sinks.report = emit
        if watched != nil { context.cases = cases }
        if let watched { context.expected = expected.failures(of: RunRecord.group(of: watched.task.id, in: file)) }
        if let watched {
            context.sinks.events = { event in
                watched.host?.tell(RunMessage(run: watched.task.id, event).line)
                if case .over = event { return }
                _ = writeAll(ChildMessage(event).line, to: 3)
            }
            // Its time limit begins once it has its devices.
            context.sinks.claims = { _ = writeAll([$0 == .waits ? BatchTask.waits : BatchTask.begins], to: 3) }
        }
        do throws(ErrorValue) {
            let run = try ScenarioRun(file, in: context, settings: settings)
            return ChildReport(try run.run(), trace: ring.lines)
        } catch {
            return ChildReport(unusable: error.line)
        }
    }

    private func runInLab(_ file: String, _ settings: [(name: String, value: String)]) -> ChildReport {
        do {
            var result: ScenarioResult?
            let lab = try LabRun(file, on, settings: settings) { result = Report.results(in: $0)?.first }
            let status = try lab.run()
            guard let result else {
                return ChildReport(unusable: "the lab ended with \(status) and without a result")
            }
            return ChildReport(result, trace: [])
        } catch {
            return ChildReport(unusable: Run.message(for: error))
        }
    }
}

/// The last lines of a trace. Thread-safe, as roles write it from threads of their own.
final class TraceRing: Sendable {
    private let limit: Int
    private let kept = Mutex<[String]>([])

    init(limit: Int) { self.limit = limit }

    func add(_ line: String) {
        kept.withLock { lines in
            lines.append(line)
            if lines.count >= 2 * limit { lines.removeFirst(lines.count - limit) }
        }
    }

    var lines: [String] { kept.withLock { Array($0.suffix(limit)) } }
}
