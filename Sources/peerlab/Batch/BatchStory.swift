import Commands
import LabBench
import Results
import Runner

/// Progress of a batch's runs, as a guest reports it.
final class BatchStory {
    private let ids: Set<String>
    private var lines = RunLines()
    private var ended: [RunRecord] = []
    private var seen: Set<String> = []
    private var running: [String: (began: String, progress: RunProgress)] = [:]
    private var size = 0
    private(set) var isHonest = true

    /// Most bytes; decoded messages take many times that memory.
    private static let longest = 64 << 20

    /// For a guest that was given the runs with these ids.
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
            case .starts, .found, .ended: break
            }
            running[id, default: (BatchJournal.timestamp(), RunProgress())].progress.take(event)
        } else {
            isHonest = false
        }
    }

    /// Whether the guest died by itself, so that runs were lost.
    static func isDeath(_ verdict: LabVerdict) -> Bool {
        switch verdict {
        case .panicked, .hung, .qemuFailed: true
        default: false
        }
    }

    /// Records of the runs that had ended, and what the guest's end means for those that had not. Where one case was
    /// running, that run gets the death. Where several were, the culprit is unknown, and all are suspects.
    func end(by verdict: LabVerdict) -> (records: [RunRecord], suspects: [String]) {
        let whole = running.filter { $0.value.progress.isOver }
        var concerned = running.filter { !$0.value.progress.isOver }
        let ended = ended + whole.sorted { $0.key < $1.key }.compactMap { record($0.key, $0.value, verdict) }
        if BatchStory.isDeath(verdict) {
            let inCase = concerned.filter { $0.value.progress.isInCase }
            if !inCase.isEmpty { concerned = inCase }
            guard concerned.count < 2 else { return (ended, concerned.keys.sorted()) }
        }
        return (ended + concerned.sorted { $0.key < $1.key }.compactMap { record($0.key, $0.value, verdict) }, [])
    }

    /// The record of a run that had not ended when the guest did; nil where no event of it came.
    private func record(_ id: String, _ run: (began: String, progress: RunProgress), _ verdict: LabVerdict)
        -> RunRecord?
    {
        guard let death = RunProgress.Death.of(verdict, in: run.progress.stage),
            let result = run.progress.whole ?? run.progress.ended(by: death)
        else { return nil }
        let report = ChildReport(result, trace: [])
        var record = RunRecord(
            id: id, file: result.file, outcome: report.outcome ?? .fail, started: run.began, limits: Limits())
        record.reason = report.reason
        record.result = result
        record.attempts = [
            Attempt(outcome: record.outcome, reason: record.reason, exit: nil, signal: nil, wall_ns: 0)
        ]
        return record
    }
}
