import Commands
import Glibc
import Kernel
import LabBench
import Results
import Runner

/// A guest of the lab that runs some runs of a batch, as a batch of its own on its host bench.
struct LabGuest {
    /// Seconds for boot and power-off, added to a run's own limit.
    static let boot = 180.0
    private let on: BenchOptions
    private let arguments: [String]
    private let paths: [String]
    /// The file of `--expect`, of this machine.
    var expected: String?

    /// `arguments`: the batch's command line; `paths`: those of its words that name scenarios.
    init(_ on: BenchOptions, _ arguments: [String], paths: [String]) {
        self.on = on
        self.arguments = arguments
        self.paths = paths
    }

    /// How a guest ended.
    struct End {
        /// Whether it ran all that it was given.
        var isWhole = false
        /// Whether it died, so that another guest has to run the rest.
        var isDead = false
        /// Ids of runs of which several were running when it died. Which one caused that is unknown, so none has a
        /// result.
        var suspects: [String] = []
    }

    /// Runs these ids of these files, one at a time where `isSerial`. `take` gets the records: where the guest dies,
    /// those of runs that had ended, and of the one that caused it. `record`: where the record of a single run goes.
    func run(
        _ ids: [String], of scripts: [String], isSerial: Bool = false, record: ResultFile? = nil,
        _ take: (RunRecord) -> Void
    ) throws -> End {
        let wanted = "/root/ids"
        let recording =
            record == nil ? [] : ["--record-file", GuestJob.result(0), "--record-model", on.lab.model]
        let batch =
            try ["batch"] + recording + [
                "--bench", "host", "--inside-lab", on.lab.inside, "--journal", "/root/journal",
            ]
            + ["--no-store", "--only", wanted] + (expected.map { ["--expect", LabRun.path($0)] } ?? [])
            + own(isSerial: isSerial)
            + on.grants.words().flatMap { ["--\($0.word)", $0.value] } + ["--"] + scripts
        var lab = LabRun(on.lab, lib: on.lib, batch)
        lab.scripts = scripts
        lab.results = record.map { [LabResult($0, "--record-failures", .record)] } ?? []
        lab.inputs = [expected].compactMap { $0 }
        lab.made = [(wanted, Array(ids.joined(separator: "\0").utf8))]
        let story = BatchStory(ids)
        lab.told = { story.add($0) }
        // Only this batch's summary is shown.
        lab.isQuiet = true
        let verdict = try lab.boot().verdict
        guard story.isHonest else {
            throw Failure(
                "lab", Errno(EPROTO), object: "the guest",
                hint: "it tells of runs that it was not given, twice of one, or of another bench than the lab")
        }
        let (records, suspects) = story.end(by: verdict)
        var isInterrupted = false
        if case .interrupted = verdict { isInterrupted = true }
        guard !records.isEmpty || !suspects.isEmpty || isInterrupted else {
            throw Failure("lab", Errno(EIO), object: "the guest", hint: "it ended without results: \(verdict)")
        }
        for record in records { take(record) }
        if case .finished = verdict { return End(isWhole: true) }
        // A fault of this program's own is no death to go on after: another guest might hide it.
        if case .devicesFailed = verdict {
            throw Failure("lab", Errno(EIO), object: "the emulated devices", hint: "\(verdict)")
        }
        print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
        return End(isDead: BatchStory.isDeath(verdict), suspects: suspects)
    }

    /// The command line without options for the host, and without names of scenarios: a guest gets its own list.
    private func own(isSerial: Bool) -> [String] {
        var arguments = arguments
        // The last occurrence: an option's value may be equal, and comes earlier.
        for path in paths { if let last = arguments.lastIndex(of: path) { arguments.remove(at: last) } }
        arguments.removeAll { $0 == "--" }
        let values =
            [
                "--bench", "--lab-kernel", "--lab-tph", "--lab-machine", "--lab-clock", "--lab-accel",
                "--lab-exporter", "--lab-nic", "--journal", "--store", "--expect", "--record-failures", "--ktap",
                "--tap", "--junit", "--json",
                "--jsonl", "--csv", "--html", "--label", "--color", "--seed", "--shard", "--retries",
                "--allow", "--deny", "--rules",
            ] + (isSerial ? ["--jobs"] : [])
        let flags = ["--lab-share", "--lab-importer", "--no-store", "--resume", "--shuffle", "--fail-fast"]
        return SlurmJob.without(values, arguments).filter { !flags.contains($0) } + (isSerial ? ["--jobs", "1"] : [])
    }
}
