public import LuaKit

/// Notes for traces and records between a run's calls.
public enum CaseNote: Sendable {
    /// A case of this name begins.
    case begins(String)
    /// The first error that ends the case. Later calls of the case are its clean-up.
    case fails(ErrorValue)
    /// An answer is wrong, which need not end the case.
    case wrong(WrongAnswer)
    /// What the scenario says of itself, before its first case: "concerns", and the text.
    case scenario(key: String, String)

    /// The note as a line of a trace; nil for none.
    public var text: String? {
        switch self {
        case .begins(let name): name
        case .fails(let error): "failed: \(error.line)"
        case .wrong, .scenario: nil
        }
    }
}
