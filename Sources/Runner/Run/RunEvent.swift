/// What becomes of a run, told while it goes on, so that whatever ends its process takes nothing of it along.
public enum RunEvent: Codable, Sendable {
    /// It begins; without cases.
    case begins(ScenarioResult)
    /// It is loaded: what is known of it now, without cases, and the names of its cases in their order.
    case loaded(ScenarioResult, cases: [String])
    /// The case with this index begins.
    case starts(Int)
    /// What the case that runs has found since that was told last; once it fails, with its first failure.
    case found(CaseResult)
    /// A case has ended.
    case ended(CaseResult)
    /// All is told: its result, without cases.
    case over(ScenarioResult)
}
