import LuaKit

/// What a role did that the others must know, wherever they run.
enum RoleEvent: Codable {
    /// First of a connection: who wants to take part, and in which scenario.
    case hello(role: String, scenario: String, digest: UInt64, version: Int)
    /// Every role is here.
    case welcome
    /// The one that wanted to take part cannot.
    case refused(reason: String)
    case arrive(role: String, index: Int)
    case post(value: SentValue, from: String, to: String, index: Int)
    case end(role: String, result: CaseResult, index: Int)
    case leave(role: String, reason: String)

    /// Both sides must speak the same.
    static let version = 1
}
