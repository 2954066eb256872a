import Bindings
import CKernel
import Commands
import Glibc
import Kernel
import LabBench
import LuaKit
import Runner
import SimKernel
import Synchronization

/// `peerlab run` in this process: on a simulated bench, on this machine, or in the lab's guest.
final class LocalRun {
    private let options: Run
    private let output: ResultFile?
    private let trace: TraceFile
    private let tlps: TraceFile
    private let record: RecordFile?
    /// Writes the results where this process dies before it can.
    private let keeper: RunKeeper?
    /// In the lab's guest: records requests of the emulated NIC.
    private let capture: GuestCapture?
    /// In the lab's guest: the connection to the host.
    private let outside: GuestLine?
    /// What `--expect` lists.
    private let expected: ExpectedFailures
    private var context: RunContext
    private var results: [ScenarioResult] = []
    /// A copy of `results` for the thread that writes them where a run does not end.
    private let ended = Ended()
    private var errors: [ErrorValue] = []
    /// Names of all scenarios' cases; nil where a file's are not known.
    private var caseNames: [String]? = []
    /// Whether the start of the current file's run was reported.
    private var hasBegun = false
    private let progress: CaseProgress?

    private final class Ended: Sendable { let results = Mutex<[ScenarioResult]>([]) }

    /// Opens all output files, and drops the rights that the process does not need. `context` has the bench, and
    /// limits, bindings and injections from the options.
    init(
        _ options: Run, _ context: RunContext, _ outputs: RunOutputs, _ keeper: RunKeeper?, _ capture: GuestCapture?,
        _ expected: ExpectedFailures
    ) throws {
        self.expected = expected
        self.options = options
        self.context = context
        self.keeper = keeper
        self.capture = capture
        // Other lines on standard error would break that of the progress, and the user's questions too.
        let isAlone = context.bench.isSimulated && options.trace != "-" && options.tlp != "-"
        progress = isAlone ? CaseProgress() : nil
        (trace, tlps) = (try TraceFile(outputs.trace), try TraceFile(outputs.tlp))
        let (bench, library) = (context.bench, context.library)
        record = try outputs.record.map {
            try RecordFile(
                $0, of: options.files.map(library.shown), on: bench, model: recordModel(options.on, bench),
                settings: options.on.settings)
        }
        output = outputs.json
        try output?.open()
        var grants = try options.on.grants.grants(on: bench.kind)
        let question = bench.kind == "host" ? Terminal().map(GrantOptions.question) : nil
        let confinement = LocalRun.confinement(
            options, context, outputs.all, question == nil ? grants.devices : nil, grants)
        if bench.kind == "host" { grants.paths = confinement.paths }
        self.context.kernelLog = bench.isSimulated ? nil : KernelLog()
        outside = options.on.insideLab == nil ? nil : GuestLine()
        self.context.bench.sandbox = confinement.apply()
        self.context.permissions = { [grants] in Permissions(grants, ask: question) }
        watch()
    }

    private static func confinement(
        _ options: Run, _ context: RunContext, _ outputs: [ResultFile], _ granted: Set<String>?, _ grants: Grants
    ) -> Confinement {
        // The process's own memory is added to the scripts' limit.
        let memory = (context.limits.memory ?? Limits.defaultMemory) + Confinement.modelMemory
        let (files, library) = (options.files, context.library)
        var confinement = Confinement(simulated: files, library, outputs: outputs, memory: memory)
        if !context.bench.isSimulated {
            confinement = Confinement(
                real: files, library, insideLab: options.on.insideLab != nil, granted: granted, outputs: outputs,
                port: context.assignment?.address.port, binds: !options.bind.isEmpty,
                isRaw: RawDeclaration.opensAnyFile(files, grants, library, on: context.bench), memory: memory)
        }
        confinement.time = context.limits.timeout
        return confinement
    }

    /// Connects the observers of calls and of link requests, and the receivers of progress.
    private func watch() {
        if options.trace != nil { context.tracing.line = { [trace] in trace.write($0) } }
        if let record {
            context.tracing.attach = { record.watch($0) }
            context.sinks.notes = { record.note($0) }
        }
        if options.tlp != nil { context.bench = SimBench.showingTLPs(of: context.bench) { [tlps] in tlps.write($0) } }
        context.sinks.report = { [line = progress?.line] text in
            guard let line else { return print(text, to: STDOUT_FILENO) }
            line.aside { print(text, to: STDOUT_FILENO) }
        }
        if outside != nil || keeper != nil || capture != nil || progress != nil {
            context.sinks.events = { [unowned self] in tell($0) }
        }
        context.deadline = Deadline {
            [files = options.files, ended, output, keeper, record, trace, tlps, line = progress?.line] stuck in
            line?.clear()
            print(
                "peerlab: \(stuck.result?.file ?? files[0]): \(stuck.reason), so the process ends; the kernel closes what was open",
                to: STDERR_FILENO)
            let all = LocalRun.results(of: files, ended.results.withLock { $0 }, stuck)
            if let output { _ = LocalRun.writeJSON(all, to: output) }
            keeper?.finish()
            record?.finishNow()
            trace.finishNow()
            tlps.finishNow()
            _exit((stuck.death.verdict == .interrupted ? ExitStatus.interrupted : .fail).rawValue)
        }
    }

    /// Where a run does not end: the results of all files so far; prints those lines that the report still lacks.
    private static func results(
        of files: [String], _ before: [ScenarioResult], _ stuck: Deadline.Stuck
    ) -> [ScenarioResult] {
        guard let late = stuck.result else { return before }
        var all = before + [late]
        all += files.dropFirst(all.count).map { ScenarioResult(notRun: $0, like: late, because: stuck.death) }
        let index = all.firstIndex { $0.file == late.file && $0.unusable == nil } ?? 0
        for line in Report.rest(of: all, from: max(index, before.count), reported: stuck.ended) {
            print(line, to: STDOUT_FILENO)
        }
        return all
    }

    /// Runs all files in turn and writes their results. Returns the exit code.
    func run(_ settings: [(name: String, value: String)]) -> Int32 {
        print(context.bench.line, to: STDOUT_FILENO)
        let requests = options.tlp == nil ? nil : capture.map { CapturedLines($0, in: tlps) }
        process_count_signals()
        for file in options.files {
            // A signal may have come between two runs.
            if process_signals() > 0 { break }
            run(file, settings)
            updateRequests()
            ended.results.withLock { [results] in $0 = results }
            if results.last?.verdict == .interrupted { break }
        }
        let written = [record?.finish(), trace.finish(), requests?.finish(), tlps.finish()]
        options.expect.tell(expected, unusedBy: results.map { ($0.file, $0.cases.map(\.name)) })
        print(Report.summary(results), to: STDOUT_FILENO)
        let isWritten = output.map { LocalRun.writeJSON(results, to: $0) }
        keeper?.finish()
        if isWritten == false || written.contains(false) { return ExitStatus.software.rawValue }
        if process_signals() > 0 { return ExitStatus.interrupted.rawValue }
        let status = Run.status(results, errors)
        guard [.pass, .skipped].contains(status), results.count == options.files.count, let caseNames,
            let refusal = context.cases?.refusal(of: caseNames)
        else { return status.rawValue }
        print("peerlab: \(refusal.line)", to: STDERR_FILENO)
        return ExitStatus.usage.rawValue
    }

    private func run(_ file: String, _ settings: [(name: String, value: String)]) {
        hasBegun = false
        context.expected = expected.failures(of: file)
        do throws(ErrorValue) {
            let run = try ScenarioRun(file, in: context, settings: settings, seed: options.seed)
            defer {
                caseNames = run.caseNames.flatMap { names in
                    caseNames.map { all in all + names.filter { !all.contains($0) } }
                }
            }
            results.append(try run.run())
        } catch {
            caseNames = nil
            progress?.line.clear()
            print("peerlab: \(error.line)", to: STDERR_FILENO)
            errors.append(error)
            let result = ScenarioResult(unusable: file, on: context.bench, because: error)
            results.append(result)
            if !hasBegun { tell(.begins(result)) }
            tell(.over(result))
        }
    }

    private func tell(_ event: RunEvent) {
        if case .begins = event { hasBegun = true }
        updateRequests()
        outside?.tell(RunMessage(event).line)
        keeper?.tell(event)
        progress?.take(event)
    }

    /// Fetches new requests of the lab's emulated NIC. Errors are reported at the end.
    private func updateRequests() { if options.tlp != nil { try? capture?.update() } }

    private static func writeJSON(_ results: [ScenarioResult], to output: ResultFile) -> Bool {
        do {
            try output.write(try Report.json(results, version: Peerlab.version))
            return true
        } catch {
            let reason = (error as? Failure)?.message ?? "\(error)"
            print("peerlab: cannot write the results: \(reason)", to: STDERR_FILENO)
            return false
        }
    }
}
