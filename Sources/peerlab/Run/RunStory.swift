import Commands
import Results
import Runner

/// Events of a command's scenarios, kept by another process, which writes the results where the running one cannot any
/// more.
final class RunStory {
    /// Paths of the scenarios, as the running process names them.
    private let files: [String]
    /// Whether a result may come from these scenarios' bench.
    private let accepts: (ScenarioResult) -> Bool
    private var lines = RunLines()
    private var told: [RunProgress] = []
    /// Number of files that have begun.
    private var begun = 0
    /// Bytes received.
    private var size = 0
    private(set) var isHonest = true

    private let most: Int

    /// `most`: limit of received bytes. From an untrusted sender it is the limit of a results file, as decoded events
    /// take many times that memory.
    init(_ files: [String], most: Int = 32 << 20, accepts: @escaping (ScenarioResult) -> Bool) {
        self.files = files
        self.most = most
        self.accepts = accepts
    }

    /// Whether a scenario has begun.
    var hasBegun: Bool { !told.isEmpty }

    func add(_ bytes: [UInt8]) {
        guard isHonest else { return }
        size += bytes.count
        guard size <= most, lines.add(bytes, take) else {
            isHonest = false
            return
        }
    }

    private func take(_ message: RunMessage) {
        guard isHonest, message.run == nil, message.record == nil, let event = message.event else {
            isHonest = false
            return
        }
        switch event {
        case .begins(let result):
            // Files begin in order; an unreadable one does not begin.
            guard let index = files[begun...].firstIndex(of: result.file), isUsable(result) else {
                return isHonest = false
            }
            begun = index + 1
            told.append(RunProgress())
        case .loaded(let result, _), .over(let result):
            guard begun > 0, result.file == files[begun - 1], isUsable(result) else { return isHonest = false }
        case .starts, .found, .ended: break
        }
        guard !told.isEmpty, !told[told.count - 1].isOver else { return isHonest = false }
        told[told.count - 1].take(event)
    }

    private func isUsable(_ result: ScenarioResult) -> Bool { accepts(result) && result.cases.isEmpty }

    /// All results of a run that did not end properly: finished files, the running one, and those not run. `death`
    /// gives the reason for the stage that was reached, or nil. nil where nothing has begun, or where the events were
    /// inconsistent.
    func results(endedBy death: (_ stage: String) -> RunProgress.Death?) -> [ScenarioResult]? {
        guard isHonest, let last = told.last, let death = death(last.stage) else { return nil }
        var results = told.dropLast().compactMap(\.whole)
        guard let lost = last.whole ?? last.ended(by: death) else { return nil }
        results.append(lost)
        for file in files.dropFirst(begun) {
            results.append(ScenarioResult(notRun: file, like: lost, because: death))
        }
        return results
    }

    /// The lines that the report still lacks.
    func lines(of results: [ScenarioResult]) -> [String] {
        guard let last = told.last, !last.isOver else { return [] }
        return Report.rest(of: results, from: told.count { $0.isOver }, reported: last.ended)
    }
}
