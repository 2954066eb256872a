import LuaKit

/// The cases that a run is to have, by name; "*" stands for any text.
public struct CaseSelection: Sendable {
    /// Why a case does not run.
    static let reason = "--case does not select it"

    private let patterns: [String]
    private let isOneOfMany: Bool

    /// `isOneOfMany`: whether other scenarios run too, so that one without such a case is skipped, and not refused. nil
    /// without any name.
    public init?(_ patterns: [String], isOneOfMany: Bool) {
        guard !patterns.isEmpty else { return nil }
        (self.patterns, self.isOneOfMany) = (patterns, isOneOfMany)
    }

    func selects(_ name: String) -> Bool { patterns.contains { WildcardText.matches(name, $0) } }

    /// Why a scenario with these cases is skipped; nil where it has one that is selected. Throws where it is to have one
    /// for each name, and has not.
    func reasonToSkip(_ cases: [String]) throws(ErrorValue) -> String? {
        if isOneOfMany {
            guard !cases.contains(where: selects) else { return nil }
            return "it has no case that --case selects"
        }
        for pattern in patterns where !cases.contains(where: { WildcardText.matches($0, pattern) }) {
            let near = nearest(to: pattern, in: cases).map { "; did you mean '\($0)'?" } ?? ""
            let known = cases.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (cases.count > 20 ? ", ..." : "")
            throw ErrorValue(kind: .usage, "--case: no case is called '\(pattern)'\(near) (known: \(known))")
        }
        return nil
    }
}
