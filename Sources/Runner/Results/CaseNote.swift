public import LuaKit

/// What traces and records are told between a run's calls.
public enum CaseNote: Sendable {
    /// A case of this name begins.
    case begins(String)
    /// The first error that ends it. What it closes from here on is clean-up.
    case fails(ErrorValue)

    /// As a line of a trace.
    public var text: String {
        switch self {
        case .begins(let name): name
        case .fails(let error): "failed: \(error.line)"
        }
    }
}
