import Commands
import Glibc
import Kernel
import LabBench
import Results
import Runner

/// A guest of the lab that runs some of a batch's runs, as a batch of its own on its host bench.
struct LabGuest {
    /// Seconds beyond a run's own that a guest may take to boot and to power off.
    static let boot = 180.0
    private let on: BenchOptions
    private let arguments: [String]
    private let paths: [String]

    /// `arguments` is the batch's command line, `paths` are those of its words that name scenarios.
    init(_ on: BenchOptions, _ arguments: [String], paths: [String]) {
        self.on = on
        self.arguments = arguments
        self.paths = paths
    }

    /// Runs those with these ids, of these files. Files of ids and of what came of them are made beside `path` and go again.
    func run(_ ids: [String], of scripts: [String], beside path: String) throws -> JournalReader {
        let wanted = LabRun.absolute(path + ".ids"), part = LabRun.absolute(path + ".guest")
        defer {
            unlink(wanted)
            unlink(part)
        }
        try ResultFile(wanted).write(Array(ids.joined(separator: "\0").utf8))
        let batch =
            try ["batch", "--bench", "host", "--inside-lab", LabRun.inside, "--journal", GuestJob.result(0)]
            + ["--no-store", "--only", wanted] + own()
            + on.grants.words().flatMap { ["--\($0.word)", $0.value] } + ["--"] + scripts
        var lab = LabRun(on.lab, lib: on.lib, batch)
        lab.scripts = scripts
        lab.inputs = [wanted]
        lab.results = [try LabResult(part, .text)]
        // Its summary is not this batch's.
        lab.isQuiet = true
        let status = try lab.run()
        guard access(part, R_OK) == 0 else {
            throw Failure("lab", Errno(EIO), object: "the guest", hint: "it ended with \(status) and without results")
        }
        return try JournalReader(part)
    }

    /// The command line without what the host does, and without what names scenarios: a guest has only its own.
    private func own() -> [String] {
        var arguments = arguments
        // An option's value may read alike, and stands before.
        for path in paths { if let last = arguments.lastIndex(of: path) { arguments.remove(at: last) } }
        arguments.removeAll { $0 == "--" }
        let values = [
            "--bench", "--lab-kernel", "--lab-tph", "--lab-machine", "--lab-clock", "--journal", "--store", "--ktap",
            "--tap", "--junit", "--json", "--jsonl", "--html", "--color", "--seed", "--shard", "--retries",
            "--allow", "--deny", "--rules",
        ]
        let flags = ["--lab-share", "--lab-importer", "--no-store", "--resume", "--shuffle", "--fail-fast"]
        return SlurmJob.without(values, arguments).filter { !flags.contains($0) }
    }
}
