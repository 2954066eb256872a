import ArgumentParser
import Batch
import Commands
import Glibc
import Kernel
import Results
import Runner

/// Options for submission to Slurm.
struct SlurmOptions: ParsableArguments {
    @Option(
        name: .customLong("slurm"),
        help: ArgumentHelp(
            "Submit an array job of so many tasks, each of which runs its part; --journal names the folder of their journals.",
            valueName: "TASKS"))
    var tasks: Int?

    @Option(
        name: .customLong("sbatch"),
        help: ArgumentHelp("An option for sbatch: --sbatch=--partition=lab.", valueName: "OPTION"))
    var options: [String] = []

    func validate() throws {
        if let tasks, !(1...100_000).contains(tasks) { throw ValidationError("--slurm is how many tasks, 1 or more") }
        if tasks == nil, !options.isEmpty { throw ValidationError("--sbatch goes with --slurm TASKS") }
    }
}

/// An array job; each task runs a part of a batch. A task that is requeued, after a failure of its node or by hand,
/// resumes its journal.
struct SlurmJob {
    private let tasks: Int
    private let options: [String]
    private let arguments: [String]
    private let folder: String

    /// `given` is the batch's command line.
    init(_ tasks: Int, _ options: [String], _ given: [String], journals: String?) throws(Failure) {
        self.tasks = tasks
        self.options = options
        arguments = SlurmJob.without(["--slurm", "--sbatch", "--journal"], given)
        let named = journals ?? "peerlab-slurm-\(BatchJournal.timestamp().replacing(":", with: ""))"
        // Tasks resume journals in this folder without asking, so it must belong to the user alone.
        folder = try Folders.own(FormOptions.absolute(named), "--journal")
    }

    /// The command line without options for the submission itself.
    static func without(_ names: [String], _ given: [String]) -> [String] {
        var kept: [String] = []
        var isValue = false
        for word in given {
            if isValue {
                isValue = false
            } else if names.contains(word) {
                isValue = true
            } else if !names.contains(where: { word.hasPrefix($0 + "=") }) {
                kept.append(word)
            }
        }
        return kept
    }

    /// The script of each task. It execs peerlab, so that Slurm's SIGTERM reaches it and devices are released.
    private var script: String {
        let program = ShellWord.quoted(ShippedFolders.program())
        let words = ShellWord.line(arguments)
        return """
            #!/bin/sh
            journal=\(ShellWord.quoted(folder))/part-$SLURM_ARRAY_TASK_ID.jsonl
            if [ -s "$journal" ]; then exec \(program) batch --resume --yes --journal "$journal"; fi
            exec \(program) batch --shard auto --journal "$journal" --no-store \(words)

            """
    }

    /// Passes the script to sbatch(1); returns the exit code.
    func submit() throws -> Int32 {
        let output = "\(folder)/part-%a.log"
        let words =
            [
                "sbatch", "--array=1-\(tasks)", "--job-name=peerlab", "--requeue", "--open-mode=append",
                "--output=\(output)",
            ] + options
        let path = "\(folder)/task.sh"
        try ResultFile(path).write(Array(script.utf8))
        var task = [BatchTask(id: "sbatch", index: 0, timeout: 120)]
        var ending: ProcessExit?
        let workers = Workers(jobs: 1) { _ in
            var list: [UnsafeMutablePointer<CChar>?] = (words + [path]).map { strdup($0) }
            list.append(nil)
            execvp("sbatch", list)
            return 127
        }
        try workers.run(next: { task.popLast() }, finished: { ending = $1 })
        guard let ending, ending.exit == 0 else {
            let said = ending?.errors.text.split(separator: "\n").first.map(String.init)
            throw Failure(
                "sbatch", Errno(EIO), object: "the job",
                hint: ending?.exit == 127 ? "sbatch is not installed, or not in PATH" : said)
        }
        printRelayed(ending.output.text, to: STDOUT_FILENO)
        let place = ShellWord.quoted(folder)
        print("journals: \(place)/part-*.jsonl; when all tasks have ended:", to: STDERR_FILENO)
        print("peerlab results merge --output \(place)/whole.jsonl \(place)/part-*.jsonl", to: STDERR_FILENO)
        return ExitStatus.pass.rawValue
    }
}
