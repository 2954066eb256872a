import ArgumentParser
import Batch
import CKernel
import Commands
import Glibc
import Kernel
import LabBench
import LuaKit
import Results
import Runner
import Synchronization

/// A batch from its plan to its results.
final class BatchRun {
    private let command: BatchCommand
    private let arguments: [String]
    let journal: BatchJournal
    private let process: BatchProcess
    private let expected: ExpectedFailures
    private let records: FailureRecords?
    /// The record of a run's last attempt that did not end as it should.
    private var kept: [Int: String] = [:]
    private let files: [(form: ResultForm, file: ResultFile)]
    let plan: BatchPlan
    private let seed: UInt64?
    /// Whether a resumed batch had ended, so that nothing is left to run.
    private let wasEnded: Bool
    var waiting: [Int] = []
    var next = 0
    /// Earlier attempts of cells that are to be retried.
    private var attempts: [Int: [Attempt]] = [:]
    private var started: [Int: String] = [:]
    var totals = Totals()
    private var hasFailed = false
    private var progress: Progress
    private var lastFlush: UInt64 = 0
    var lost: Failure?
    /// In the lab's guest: the connection to the host, which gets each result at once.
    private var host: GuestLine?
    /// Planned runs whose files were removed or changed since the batch was begun.
    private var lostRuns: [(id: String, file: String, reason: String)] = []

    init(_ command: BatchCommand, arguments: [String], journal path: String, resumed: JournalReader?) throws {
        self.command = command
        self.arguments = arguments
        var all = OutputFiles()
        all.read(batch: try ShippedScenarios.paths(command.paths, takesKinds: true))
        command.on.read(into: &all)
        if let path = command.running.expect.path { all.read("the known failures", path) }
        try all.append("--journal", command.selection.list || resumed != nil ? nil : path)
        if let store = command.output.store { try all.append("--store", store) }
        files = try command.output.forms.files(&all)
        expected = try command.running.expect.failures()
        let started = resumed?.header.started ?? BatchJournal.timestamp()
        records =
            try command.selection.list
            ? nil : command.running.recordFailures.map { try FailureRecords($0, begun: started, journal: path) }
        process = try BatchProcess(
            command.on, failureTrace: command.running.failureTrace, expected: expected,
            cases: command.selection.cases.selection(isOneOfMany: true))
        var plan = try BatchPlan(command, planned: resumed?.planned ?? [])
        if Workers.isInterrupted {
            print("peerlab: interrupted before anything was run", to: STDERR_FILENO)
            throw ExitCode(ExitStatus.interrupted.rawValue)
        }
        seed = command.selection.shuffle ? command.selection.seed ?? UInt64.random(in: 1..<1_000_000) : nil
        if let seed { plan.shuffle(seed: seed) }
        self.plan = plan
        let header = BatchHeader(
            version: Peerlab.version,
            arguments: arguments + (seed.map { command.selection.seed == nil ? ["--seed", String($0)] : [] } ?? []),
            directory: BatchRun.directory(),
            started: started,
            bench: process.benchLine, simulated: process.bench?.isSimulated ?? false,
            shard: try command.selection.part().map { "\($0.number)/\($0.count)" }, runs: plan.cells.count,
            label: command.output.name.label)
        let isListed = command.selection.list
        // A batch of nothing leaves no journal that --resume would find.
        let hasJournal = !isListed && (resumed != nil || !plan.cells.isEmpty)
        journal = try BatchJournal(
            hasJournal ? path : "/dev/null", header: resumed == nil || isListed ? header : nil)
        if let resumed {
            for id in Set(resumed.ids).union(plan.lost.map(\.id)) where resumed.hasFinished(id) {
                if let run = resumed.outcome(of: id) { totals.add(run.outcome, flaky: run.isFlaky) }
            }
            lostRuns = plan.lost.filter { !resumed.hasFinished($0.id) }
            BatchRun.tellChanges(resumed, plan)
        } else if !isListed {
            try plan.write(to: journal)
        }
        wasEnded = resumed?.isEnded ?? false
        waiting = plan.cells.indices.filter { !(resumed?.hasFinished(plan.cells[$0].id) ?? false) }
        // What a killed run had written of its record is of no use.
        if resumed != nil {
            for index in waiting { records?.remove(plan.cells[index].id, attempts: command.running.retries + 1) }
        }
        progress = Progress(
            total: plan.cells.count + plan.lost.count, done: totals.all, color: command.output.color.isOn(STDERR_FILENO)
        )
    }

    /// Reports changes of files since the batch was begun.
    private static func tellChanges(_ before: JournalReader, _ plan: BatchPlan) {
        if before.planned.isEmpty, let runs = before.header.runs, runs != plan.cells.count {
            print(
                "the batch had \(runs) runs when it was begun, and has \(plan.cells.count) now: files have come or gone",
                to: STDERR_FILENO)
        }
        var hashes: [String: String] = [:]
        for file in plan.files { hashes[file.path] = file.hash.text }
        var changed: Set<String> = []
        before.each { record in
            if let now = hashes[record.file], now != record.hash, before.hasFinished(record.id) {
                changed.insert(record.file)
            }
        }
        for file in changed.sorted() {
            print("changed since it was run, and not run again: \(file)", to: STDERR_FILENO)
        }
    }

    private static func directory() -> String {
        guard let folder = getcwd(nil, 0) else { return "/" }
        defer { free(folder) }
        return String(cString: folder)
    }

    /// Runs the remaining cells. Returns the exit code.
    func run() throws -> Int32 {
        if command.selection.list { return list() }
        print(process.benchLine, to: STDERR_FILENO)
        if let seed { print("shuffled with --seed \(seed)", to: STDERR_FILENO) }
        if plan.leftOut > 0 {
            let files = plan.leftOut == 1 ? "1 file is a module" : "\(plan.leftOut) files are modules"
            print("left out: \(files)", to: STDERR_FILENO)
        }
        if plan.links > 0 {
            let files = plan.links == 1 ? "1 file is a link" : "\(plan.links) files are links"
            print("left out: \(files); name them to run them", to: STDERR_FILENO)
        }
        if plan.unreadableNames > 0 {
            print("left out: \(plan.unreadableNames) whose names are not UTF-8", to: STDERR_FILENO)
        }
        guard !plan.cells.isEmpty || !plan.lost.isEmpty else {
            print("peerlab: no scenario is selected\(whyNone)", to: STDERR_FILENO)
            return ExitStatus.usage.rawValue
        }
        if wasEnded, waiting.isEmpty, lostRuns.isEmpty {
            print("the batch has ended, and nothing of it is left to run", to: STDERR_FILENO)
        }
        for run in lostRuns {
            var record = RunRecord(
                id: run.id, file: run.file, outcome: .notRun, started: BatchJournal.timestamp(), limits: Limits())
            record.reason = run.reason
            totals.add(record)
            keep { try self.journal.add(record) }
            progress.tell(record)
        }
        process.warmUp()
        if command.on.insideLab != nil { host = GuestLine() }
        var guest = LabGuest(command.on, arguments, paths: command.paths)
        guest.expected = command.running.expect.path
        if process.bench == nil, command.running.labShare {
            try runIn(guest)
            return try finish()
        }
        // Each process sees how many attempts there were when it was forked.
        let workers = Workers(jobs: command.running.workers) { [unowned self, process, plan, guest] task in
            let cell = plan.cells[task.index], file = plan.files[cell.file].path
            let record = command.running.recordFile ?? records?.path(cell.id, attempt: attempt(of: task))
            guard process.bench == nil else { return process.run(file, cell.settings, task, record: record) }
            return process.runInGuest(cell.id, of: file, guest, record: record)
        }
        workers.tick = { [unowned self, unowned workers] in tick(workers) }
        do throws(Errno) {
            try workers.run(next: { task() }, finished: { ended($0, $1) })
        } catch {
            throw Failure("fork", error, object: "a scenario's process")
        }
        progress.end()
        if let lost {
            print("peerlab: no more is run, for results could not be kept: \(lost.message)", to: STDERR_FILENO)
        }
        let status = try finish()
        return lost == nil ? status : ExitStatus.software.rawValue
    }

    /// What selects nothing, where it is known.
    private var whyNone: String {
        guard let tags = command.selection.tags else { return "" }
        let known = plan.tags.sorted()
        let list = known.prefix(20).joined(separator: ", ") + (known.count > 20 ? " ..." : "")
        return ": --tag '\(tags)' holds for none; " + (known.isEmpty ? "none has a tag" : "their tags are \(list)")
    }

    /// Adds the plan's data to a record, whichever process made it.
    func describe(_ record: inout RunRecord, _ index: Int) {
        let cell = plan.cells[index]
        record.limits = limits(of: index)
        for (name, value) in (try? command.on.pairs()) ?? [] { record.settings[name] = value }
        for (name, value) in cell.settings { record.settings[name] = value }
        record.tags = plan.files[cell.file].metadata?.tags ?? []
        record.hash = plan.files[cell.file].hash.text
        record.seed = seed
    }

    private func list() -> Int32 {
        for cell in plan.cells {
            let tags = plan.files[cell.file].metadata?.tags ?? []
            print(
                cell.id + (tags.isEmpty ? "" : "  (\(tags.joined(separator: ", ")))"),
                to: STDOUT_FILENO)
        }
        return ExitStatus.pass.rawValue
    }

    private func task() -> BatchTask? {
        guard lost == nil, next < waiting.count, !(hasFailed && command.running.failFast) else { return nil }
        let index = waiting[next]
        next += 1
        if started[index] == nil { started[index] = BatchJournal.timestamp() }
        let limits = limits(of: index)
        var task = BatchTask(
            id: plan.cells[index].id, index: index,
            timeout: (limits.timeout ?? 0) + (process.bench == nil ? LabGuest.boot : 0),
            memory: process.bench == nil ? 0 : (limits.memory ?? Limits.defaultMemory) + Confinement.modelMemory)
        task.scriptMemory = limits.memory
        task.runsScenario = process.bench != nil
        let own = plan.files[plan.cells[index].file].metadata?.limits.timeout
        let isScenarios = own != nil && own == limits.timeout
        if task.runsScenario { task.timeLimit = Limits.text(task.timeout, isScenarios: isScenarios) }
        return task
    }

    /// The number of a task's attempt, from 1.
    private func attempt(of task: BatchTask) -> Int { (attempts[task.index]?.count ?? 0) + 1 }

    private func limits(of index: Int) -> Limits {
        command.running.limits(for: plan.files[plan.cells[index].file].metadata?.limits ?? Limits())
    }

    private func tick(_ workers: Workers) {
        let now = sys_monotonic()
        progress.show(totals, running: workers.names, at: now)
        // Flushed at most every 100 ms: until then the kernel keeps the data even if this program dies.
        guard now &- lastFlush > 100_000_000 else { return }
        lastFlush = now
        keep { try self.journal.flush() }
    }

    func keep(_ body: () throws -> Void) {
        do { try body() } catch { if lost == nil { lost = error as? Failure } }
    }

    private func ended(_ task: BatchTask, _ ending: ProcessExit) {
        let index = task.index
        let verdict = BatchVerdict(ending, task)
        let (attempt, report) = (verdict.attempt, verdict.report)
        attempts[index, default: []].append(attempt)
        let isBad = !attempt.outcome.isGood
        if let path = records?.settle(task.id, attempt: attempts[index]?.count ?? 1, isGood: !isBad) {
            kept[index] = path
        }
        if isBad, (attempts[index]?.count ?? 0) <= command.running.retries, !Workers.isInterrupted {
            waiting.insert(index, at: next)
            return
        }
        var record = RunRecord(
            id: task.id, file: plan.files[plan.cells[index].file].path, outcome: attempt.outcome,
            started: started[index] ?? "", limits: Limits())
        describe(&record, index)
        record.reason = attempt.outcome == .pass ? nil : attempt.reason
        record.attempts = attempts[index] ?? []
        record.flaky = !isBad && record.attempts.count > 1
        record.cpu_ns = ending.cpu
        record.max_resident = ending.maxResident
        if isBad {
            record.output = ending.output.text
            record.errors = ending.errors.text
        }
        record.trace = report?.trace ?? []
        record.result = report?.result
        record.record = kept.removeValue(forKey: index)
        attempts[index] = nil
        started[index] = nil
        totals.add(record)
        if isBad { hasFailed = true }
        keep { try self.journal.add(record) }
        host?.tell(RunMessage(record).line)
        if isBad || record.flaky { progress.tell(record) }
    }

    private func finish() throws -> Int32 {
        let isInterrupted = Workers.isInterrupted
        if !isInterrupted, !wasEnded, lost == nil, next >= waiting.count {
            try journal.end(at: BatchJournal.timestamp())
        }
        if lost == nil { try journal.flush() }
        let reader = try JournalReader(journal.path)
        let descriptor = command.output.forms.takesOutput ? STDERR_FILENO : STDOUT_FILENO
        let notSelected = BatchSummary.write(reader, color: command.output.color.isOn(descriptor), to: descriptor)
        let left = plan.cells.count { !reader.hasFinished($0.id) }
        let missing = left + lostRuns.count
        var all = totals
        let notRun = missing - totals.count(.interrupted)
        all.outcomes[Outcome.notRun.rawValue] = notRun > 0 ? notRun : nil
        print(all.text(notSelected: notSelected), to: descriptor)
        if !lostRuns.isEmpty {
            let runs = lostRuns.count == 1 ? "1 run" : "\(lostRuns.count) runs"
            print("\(runs) of files that have changed or are gone: begin a new batch for them", to: STDERR_FILENO)
        }
        if left > 0 {
            print("the rest: peerlab batch --resume --journal \(journal.path)", to: STDERR_FILENO)
        } else {
            print("journal: \(journal.path)", to: STDERR_FILENO)
        }
        tellUnused(reader)
        if let complaint = reader.complaint { print("peerlab: \(journal.path): \(complaint)", to: STDERR_FILENO) }
        guard writeForms(reader) else { return ExitStatus.software.rawValue }
        if isInterrupted { return ExitStatus.interrupted.rawValue }
        if totals.bad > 0 || missing > 0 { return ExitStatus.fail.rawValue }
        return totals.count(.pass) + totals.count(.expectedFailure) > 0
            ? ExitStatus.pass.rawValue : ExitStatus.skipped.rawValue
    }

    /// Tells which lines of `--expect` are about nothing that was run. A guest of the lab runs only a part.
    private func tellUnused(_ reader: JournalReader) {
        guard command.running.expect.path != nil, command.on.insideLab == nil else { return }
        var runs: [(run: String, cases: [String])] = []
        reader.each { runs.append(($0.group, $0.result?.cases.map(\.name) ?? [])) }
        command.running.expect.tell(expected, unusedBy: runs)
    }

    /// Writes all formats; false where one could not be written.
    private func writeForms(_ reader: JournalReader) -> Bool {
        var isWhole = true
        func trying(_ body: () throws(Failure) -> Void) {
            do throws(Failure) { try body() } catch {
                print("peerlab: cannot write the results: \(error.message)", to: STDERR_FILENO)
                isWhole = false
            }
        }
        var history: [String: [PastRun]] = [:]
        trying { () throws(Failure) in history = try keepInStore(reader) }
        for (form, file) in files {
            trying { () throws(Failure) in try form.write(reader, history: history, to: file) }
        }
        return isWhole
    }

    /// Adds this batch to the store, and returns the earlier runs of its cells. A store that cannot be used costs no
    /// results.
    private func keepInStore(_ reader: JournalReader) throws(Failure) -> [String: [PastRun]] {
        let output = command.output
        guard !output.noStore || output.forms.html != nil else { return [:] }
        // An interrupted batch starts no more processes.
        guard !Workers.isInterrupted else { return [:] }
        do throws(Failure) {
            let kept = try ResultsTool.keep(
                journal.path, in: output.store, add: !output.noStore, history: output.forms.html != nil)
            if let number = kept.number { print("batch \(number) of \(kept.store)", to: STDERR_FILENO) }
            return kept.history
        } catch {
            guard output.store == nil else { throw error }
            print("peerlab: the results are in no store: \(error.message)", to: STDERR_FILENO)
            return [:]
        }
    }
}

/// The summary at the end, for a terminal or a log.
enum BatchSummary {
    /// Returns the number of cases that were not selected.
    static func write(_ reader: JournalReader, color: Bool, to descriptor: Int32) -> Int {
        var notSelected = 0
        reader.each { record in
            notSelected += record.result?.notSelected ?? 0
            guard !record.outcome.isGood || record.flaky else { return }
            let word = record.flaky ? "FLAKY" : record.outcome.word.uppercased()
            let mark = color ? "\u{1b}[\(record.flaky ? 33 : 31)m\(word)\u{1b}[0m" : word
            print(
                " \(record.id): \(record.reason ?? "passed when it was tried again")", to: descriptor, after: mark)
            if let path = record.record { print("  record: \(path)", to: descriptor) }
        }
        return notSelected
    }
}
