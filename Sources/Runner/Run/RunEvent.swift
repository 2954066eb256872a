/// Progress of a run, passed on at once, so that nothing of it is lost when its process ends.
public enum RunEvent: Codable, Sendable {
    /// The run begins; the result has no cases.
    case begins(ScenarioResult)
    /// The file is loaded: the result so far, without cases, and the names of its cases in their order.
    case loaded(ScenarioResult, cases: [String])
    /// The case with this index begins.
    case starts(Int)
    /// New findings of the running case; when it fails, with its first failure.
    case found(CaseResult)
    /// A case has ended.
    case ended(CaseResult)
    /// The run has ended: its result, without cases.
    case over(ScenarioResult)
}
