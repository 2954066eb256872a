import Commands
import ArgumentParser
import Batch
import Glibc
import Kernel
import LuaKit
import Results
import Runner

/// `peerlab batch`
struct BatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch",
        abstract: "Run many scenarios, each in a process of its own.",
        discussion: """
            Folders stand for every scenario in them and below. A scenario may declare tags, timeout, memory and a matrix. \
            Results go to a journal as they come, which a killed batch goes on from with --resume. Progress goes to \
            stderr, what came of it to stdout. Exit codes as of run.
            """)

    @OptionGroup var on: BenchOptions
    @OptionGroup(title: "Selection") var selection: BatchSelection
    @OptionGroup(title: "Running") var running: BatchRunning
    @OptionGroup(title: "Results") var output: BatchOutput
    @OptionGroup(title: "Slurm") var slurm: SlurmOptions

    @ArgumentParser.Argument(
        help: """
            Scenario files, folders or patterns, or names of what comes with peerlab (peerlab list): one scenario's, or \
            scenarios or reproducers for all of them.
            """, completion: .custom(Completions.batches))
    var paths: [String] = []

    func validate() throws {
        let set = Set(try on.pairs().map(\.name))
        if let row = try selection.rows().first(where: { set.contains($0.option) }) {
            throw ValidationError("--set \(row.option) and --matrix \(row.option): one of them says what it is")
        }
    }

    mutating func run() throws {
        do {
            if running.resume { return try goOn() }
            guard !paths.isEmpty else { throw ValidationError("name scenarios, or a folder that has some") }
            if let tasks = slurm.tasks {
                throw ExitCode(
                    try SlurmJob(tasks, slurm.options, BatchCommand.given(), journals: output.journal).submit())
            }
            let journal = try JournalFolder.path(output.journal)
            throw ExitCode(try BatchRun(self, arguments: BatchCommand.given(), journal: journal, resumed: nil).run())
        } catch let error as ErrorValue {
            throw ValidationError(error.line)
        } catch let error as Failure {
            throw ValidationError(error.message)
        }
    }

    /// Words after "batch" on the command line.
    private static func given() -> [String] { Array(CommandLine.arguments.drop { $0 != "batch" }.dropFirst()) }

    /// Resumes a batch that was killed, with its own command line.
    private func goOn() throws {
        guard paths.isEmpty else {
            throw ValidationError("--resume takes the paths of the batch that it goes on with; name none")
        }
        let path = try output.journal.map(FormOptions.absolute) ?? JournalFolder.unfinished()
        let before = try JournalReader(path, keepsPlan: true)
        if let other = before.header.command {
            throw ValidationError("\(path) is of peerlab \(other), which cannot be gone on with")
        }
        if let complaint = before.complaint { print("peerlab: \(path): \(complaint)", to: STDERR_FILENO) }
        let wanted = output.forms.absolute
        // Without a question, the journal counts as the user's word only where nobody else can have written it.
        if output.journal == nil || running.yes { try before.checkOwnership() }
        if output.journal != nil { try BatchCommand.ask(before.header, path, isAgreed: running.yes) }
        guard chdir(before.header.directory) == 0 else {
            throw ValidationError("--resume: cannot go to \(before.header.directory), where the batch was started")
        }
        var command = try BatchCommand.parse(before.header.arguments)
        command.running.resume = false
        command.output.forms = wanted.filled(from: command.output.forms)
        throw ExitCode(
            try BatchRun(command, arguments: before.header.arguments, journal: path, resumed: before).run())
    }

    /// Most bytes of a journal's command line. A longer one could not be shown in full, so it is not run.
    private static let longestCommand = 1 << 16

    /// Shows the journal's command line and asks: a named journal may be of unknown origin, and decides what is run.
    private static func ask(_ header: BatchHeader, _ path: String, isAgreed: Bool) throws {
        let words = ShellWord.line(["peerlab", "batch"] + header.arguments)
        guard words.utf8.count + header.directory.utf8.count <= longestCommand else {
            throw ValidationError("\(path): its command has more than \(longestCommand >> 10) KiB, and is not run")
        }
        // Shown in full: nobody can agree to text that is cut.
        func whole(_ text: String) -> String { PrintableText.line(text, longest: 8 * longestCommand) }
        let shown = "\(whole(path)) goes on with this command, in \(whole(header.directory)):\n  \(whole(words))\n"
        writeAll(Array(shown.utf8), to: STDERR_FILENO)
        guard !isAgreed else { return }
        guard let terminal = Terminal() else {
            throw ValidationError(
                "--resume --journal asks on a terminal, and here is none: --yes runs the command above")
        }
        guard terminal.agrees(to: "Run it?") else { throw ExitCode(ExitStatus.usage.rawValue) }
    }
}
