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

    /// Runs those with these ids, of these files, and gives each of their runs to `take`. True where the guest came to its end.
    func run(_ ids: [String], of scripts: [String], _ take: (Record) -> Void) throws -> Bool {
        let wanted = "/root/ids"
        let batch =
            try ["batch", "--bench", "host", "--inside-lab", LabRun.inside, "--journal", GuestJob.result(0)]
            + ["--no-store", "--only", wanted] + own()
            + on.grants.words().flatMap { ["--\($0.word)", $0.value] } + ["--"] + scripts
        var lab = LabRun(on.lab, lib: on.lib, batch)
        lab.scripts = scripts
        lab.made = [(wanted, Array(ids.joined(separator: "\0").utf8))]
        var journal: [UInt8] = []
        lab.results = [LabResult("the guest's journal", .journal) { journal = $0 }]
        // Its summary is not this batch's.
        lab.isQuiet = true
        let status = try lab.run()
        guard !journal.isEmpty else {
            throw Failure("lab", Errno(EIO), object: "the guest", hint: "it ended with \(status) and without results")
        }
        return try read(journal, Set(ids), take)
    }

    /// A guest tells of the runs that it was given, each once, and as the lab's; of one that tells of others nothing is kept.
    private func read(_ journal: [UInt8], _ ids: Set<String>, _ take: (Record) -> Void) throws -> Bool {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try ResultFile(folder.path("journal")).write(journal)
        let reader = try JournalReader(folder.path("journal"))
        var records: [Record] = []
        var isHonest = true
        var seen: Set<String> = []
        reader.each { record in
            isHonest =
                isHonest && ids.contains(record.id) && seen.insert(record.id).inserted
                && record.result.map(LabResult.areLabs) ?? true
            records.append(record)
        }
        guard isHonest else {
            throw Failure(
                "lab", Errno(EPROTO), object: "the guest",
                hint: "it tells of runs that it was not given, twice of one, or of another bench than the lab")
        }
        for record in records { take(record) }
        return reader.isEnded
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
