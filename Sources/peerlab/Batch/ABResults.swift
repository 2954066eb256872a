import ArgumentParser
import Commands
import Glibc
import Kernel
import Results
import Runner

/// Options for the results of `ab`.
struct ABOutput: ParsableArguments {
    @Option(help: ArgumentHelp("Write the comparison as a JSON document to FILE.", valueName: "FILE"))
    var json: String?
    @Option(
        help: ArgumentHelp("Write old and new values as CSV to FILE, a line for each measurement.", valueName: "FILE"))
    var csv: String?
    @Option(help: ArgumentHelp("Write a page to look at to FILE.", valueName: "FILE"))
    var html: String?
    @Option(help: ArgumentHelp("Keep A and B in this store, as two batches.", valueName: "FILE"))
    var store: String?
    @Flag(help: "Keep A and B in the store below XDG_DATA_HOME.")
    var keep = false
    @Option(
        help: ArgumentHelp(
            "With --store or --keep: name the two batches NAME.a and NAME.b.", valueName: "NAME"))
    var label: String?
    @Option(help: "Colours: auto, always or never; NO_COLOR is obeyed.")
    var color: ColorChoice = .auto

    var isKept: Bool { keep || store != nil }

    func validate() throws {
        guard let label else { return }
        guard isKept else { throw ValidationError("--label goes with --store or --keep") }
        try BatchLabel.check(label + ".a")
    }
}

/// What `ab` writes beside its report.
final class ABResults {
    private let command: ABCommand
    private let document: ResultFile?
    private let table: ResultFile?
    private let page: ResultFile?
    /// Of A and of B; empty where nothing needs them.
    private var journals: [BatchJournal] = []
    /// Whether both journals are complete. Others are of no use.
    private var isWhole = false

    /// Throws unless all files can be written.
    init(_ command: ABCommand) throws {
        self.command = command
        var files = OutputFiles()
        files.read(scripts: [command.a, command.b])
        command.on.read(into: &files)
        document = try files.write("--json", command.output.json)
        table = try files.write("--csv", command.output.csv)
        page = try files.write("--html", command.output.html)
        if let store = command.output.store { try files.append("--store", store) }
    }

    deinit { if !isWhole { for journal in journals { unlink(journal.path) } } }

    /// Where the report goes: a document that goes to standard output has it alone.
    var descriptor: Int32 {
        [command.output.json, command.output.csv, command.output.html].contains("-") ? STDERR_FILENO : STDOUT_FILENO
    }

    /// Begins the journals.
    func begin(_ process: BatchProcess) throws {
        guard page != nil || command.output.isKept else { return }
        do throws(Failure) {
            try beginJournals(process)
        } catch { throw ValidationError("cannot keep the results: \(error.message)") }
    }

    private func beginJournals(_ process: BatchProcess) throws(Failure) {
        let path = try JournalFolder.path(nil).dropLast(".jsonl".count)
        for side in ["a", "b"] {
            let header = BatchHeader(
                version: Peerlab.version, arguments: Array(CommandLine.arguments.drop { $0 != "ab" }.dropFirst()),
                directory: LabRun.absolute("."), started: BatchJournal.timestamp(),
                bench: process.benchLine, simulated: process.bench?.isSimulated ?? false, runs: command.runs,
                label: command.output.label.map { "\($0).\(side)" }, command: "ab")
            journals.append(try BatchJournal("\(path).\(side).jsonl", header: header))
        }
    }

    /// The scenarios' names; the same for both sides.
    private var name: String {
        let names = [command.a, command.b].map { path in
            let file = path.split(separator: "/").last.map(String.init) ?? path
            return file.hasSuffix(".lua") ? String(file.dropLast(4)) : file
        }
        return Set(names).count == 1 ? names[0] : names.joined(separator: "-")
    }

    /// Adds a run of A (0) or B (1). Runs of both have the same names, by which batches are compared.
    func add(_ record: RunRecord, _ side: Int, number: Int) throws(Failure) {
        guard !journals.isEmpty else { return }
        var record = record
        record.file = side == 0 ? command.a : command.b
        record.id = "ab/\(name)#\(number)"
        let settings = try? command.on.pairs() + (side == 1 ? command.pairsB() : [])
        for (name, value) in settings ?? [] { record.settings[name] = value }
        try journals[side].add(record)
    }

    /// Writes everything.
    func end(
        _ comparison: BatchComparison, _ changes: [Change], again: [Change], notes: [String], _ status: ExitStatus
    ) throws {
        do throws(Failure) {
            for journal in journals { try journal.end(at: BatchJournal.timestamp()) }
            isWhole = true
            let readers = try journals.map { journal throws(Failure) in try JournalReader(journal.path) }
            let header = readers.first?.header
            func side(_ name: String) -> ComparisonDocument.Side {
                ComparisonDocument.Side(
                    name: name, started: header?.started ?? BatchJournal.timestamp(), bench: header?.bench ?? "")
            }
            let set = command.settingsB.joined(separator: " ")
            let told = ComparisonDocument(
                comparison, changes: changes, again: again, before: side("A: \(command.a)"),
                after: side("B: \(command.b)" + (set.isEmpty ? "" : " with \(set)")),
                simulated: header?.simulated ?? command.on.isSimulated, verdict: ResultsText.verdict(status),
                notes: notes,
                reason: ResultsText.reason)
            try document?.write(told.bytes)
            try table?.write(told.csv)
            if let page, readers.count == 2 {
                try ResultForm.page(readers[1], against: readers[0], told, to: page)
            }
            guard command.output.isKept else {
                for journal in journals { unlink(journal.path) }
                return
            }
            for (name, journal) in zip(["A", "B"], journals) {
                let kept = try ResultsTool.keep(journal.path, in: command.output.store, add: true, history: false)
                if let number = kept.number {
                    print("\(name) is batch \(number) of \(kept.store)", to: STDERR_FILENO)
                }
            }
        } catch {
            throw ValidationError("cannot write the results: \(error.message)")
        }
    }
}
