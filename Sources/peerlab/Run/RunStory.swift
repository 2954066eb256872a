import Commands
import Results
import Runner

/// What was told of the scenarios that were to be run, by which results are written where who runs them cannot any more.
final class RunStory {
    /// Paths of the scenarios, as who runs them knows them.
    private let files: [String]
    /// Whether a result can be one of theirs.
    private let accepts: (ScenarioResult) -> Bool
    private var lines = RunLines()
    private var told: [RunProgress] = []
    /// How many of the files have begun.
    private var begun = 0
    /// Bytes of what is kept.
    private var size = 0
    private(set) var isHonest = true

    private let most: Int

    /// `most` bytes are kept: of a stranger's as much as a file of results may have, as what is understood of it takes many times
    /// as much memory.
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
            // They come in order; one that cannot be read does not begin.
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

    /// All results of a run that came to no end of its own: what had ended, what ran, and what was not run. `death` says what
    /// ended it in that place, if anything. nil where there are none, or what was told is not believed.
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

    /// The end of the report, which was not printed.
    func lines(of results: [ScenarioResult]) -> [String] {
        guard let last = told.last, !last.isOver else { return [] }
        return Report.rest(of: results, from: told.count { $0.isOver }, reported: last.ended)
    }
}
