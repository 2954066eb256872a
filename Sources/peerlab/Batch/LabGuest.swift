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

    /// Runs those with these ids, of these files, and gives what became of them to `take`: of a guest that dies those that had
    /// ended, and those that ran then. True where it died, so that another one can go on with the rest.
    func run(_ ids: [String], of scripts: [String], _ take: (Record) -> Void) throws -> Bool {
        let wanted = "/root/ids"
        let batch =
            try ["batch", "--bench", "host", "--inside-lab", on.lab.inside, "--journal", "/root/journal"]
            + ["--no-store", "--only", wanted] + own()
            + on.grants.words().flatMap { ["--\($0.word)", $0.value] } + ["--"] + scripts
        var lab = LabRun(on.lab, lib: on.lib, batch)
        lab.scripts = scripts
        lab.made = [(wanted, Array(ids.joined(separator: "\0").utf8))]
        let story = BatchStory(ids)
        lab.told = { story.add($0) }
        // Its summary is not this batch's.
        lab.isQuiet = true
        let verdict = try lab.boot().verdict
        guard story.isHonest else {
            throw Failure(
                "lab", Errno(EPROTO), object: "the guest",
                hint: "it tells of runs that it was not given, twice of one, or of another bench than the lab")
        }
        let records = story.records(endedBy: verdict)
        var isInterrupted = false
        if case .interrupted = verdict { isInterrupted = true }
        guard !records.isEmpty || isInterrupted else {
            throw Failure("lab", Errno(EIO), object: "the guest", hint: "it ended without results: \(verdict)")
        }
        for record in records { take(record) }
        switch verdict {
        case .finished: return false
        case .panicked, .hung, .qemuFailed, .devicesFailed:
            print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
            return true
        default:
            print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
            return false
        }
    }

    /// The command line without what the host does, and without what names scenarios: a guest has only its own.
    private func own() -> [String] {
        var arguments = arguments
        // An option's value may read alike, and stands before.
        for path in paths { if let last = arguments.lastIndex(of: path) { arguments.remove(at: last) } }
        arguments.removeAll { $0 == "--" }
        let values = [
            "--bench", "--lab-kernel", "--lab-tph", "--lab-machine", "--lab-clock", "--lab-nic", "--journal", "--store",
            "--ktap",
            "--tap", "--junit", "--json", "--jsonl", "--html", "--color", "--seed", "--shard", "--retries",
            "--allow", "--deny", "--rules",
        ]
        let flags = ["--lab-share", "--lab-importer", "--no-store", "--resume", "--shuffle", "--fail-fast"]
        return SlurmJob.without(values, arguments).filter { !flags.contains($0) }
    }
}

/// What a guest tells of the runs of a batch.
final class BatchStory {
    private let ids: Set<String>
    private var lines = RunLines()
    private var ended: [Record] = []
    private var seen: Set<String> = []
    private var running: [String: (began: String, progress: RunProgress)] = [:]
    private var size = 0
    private(set) var isHonest = true

    /// The most that is kept, bytes: what is understood of it takes many times as much memory.
    private static let longest = 64 << 20

    /// The guest is given the runs with these ids.
    init(_ ids: [String]) { self.ids = Set(ids) }

    func add(_ bytes: [UInt8]) {
        guard isHonest else { return }
        size += bytes.count
        if size > BatchStory.longest || !lines.add(bytes, take) { isHonest = false }
    }

    private func take(_ message: RunMessage) {
        if let record = message.record {
            isHonest =
                isHonest && ids.contains(record.id) && seen.insert(record.id).inserted
                && record.result.map(LabResult.areLabs) ?? true
            ended.append(record)
            running[record.id] = nil
        } else if let id = message.run, let event = message.event, ids.contains(id), !seen.contains(id) {
            switch event {
            case .begins(let result), .loaded(let result, _), .over(let result):
                isHonest = isHonest && LabResult.areLabs(result) && result.cases.isEmpty
            case .starts, .ended: break
            }
            running[id, default: (Journal.timestamp(), RunProgress())].progress.take(event)
        } else {
            isHonest = false
        }
    }

    /// What has ended, and what ran when the guest came to its end.
    func records(endedBy verdict: LabVerdict) -> [Record] {
        var records = ended
        for (id, run) in running.sorted(by: { $0.key < $1.key }) {
            guard let death = RunProgress.Death.of(verdict, in: run.progress.place),
                let result = run.progress.whole ?? run.progress.ended(by: death)
            else { continue }
            let report = ChildReport(result, trace: [])
            var record = Record(
                id: id, file: result.file, outcome: report.outcome ?? .fail, started: run.began, limits: Limits())
            record.reason = report.reason
            record.result = result
            record.attempts = [
                Attempt(outcome: record.outcome, reason: record.reason, exit: nil, signal: nil, wall_ns: 0)
            ]
            records.append(record)
        }
        return records
    }
}
