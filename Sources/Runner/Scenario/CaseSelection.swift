public import LuaKit

/// The cases that a run is to have, by name; "*" stands for any text.
public struct CaseSelection: Sendable {
    /// Why a case does not run.
    static let reason = "--case does not select it"
    /// Why no case of a scenario runs.
    public static let reasonForAll = "it has no case that --case selects"

    let patterns: [String]
    /// Whether other scenarios run too, so that one without such a case is left out, and not refused.
    let isOneOfMany: Bool
    /// Whether a file's text shows that it is a plain script, which has no cases.
    let isPlain: @Sendable ([UInt8]) -> Bool

    /// nil without any name.
    public init?(_ patterns: [String], isOneOfMany: Bool, isPlain: @escaping @Sendable ([UInt8]) -> Bool) {
        guard !patterns.isEmpty else { return nil }
        (self.patterns, self.isOneOfMany, self.isPlain) = (patterns, isOneOfMany, isPlain)
    }

    static let refusalOfPlain = ErrorValue(kind: .usage, "--case: a plain script has no cases")

    func selects(_ name: String) -> Bool { patterns.contains { WildcardText.matches(name, $0) } }

    /// Whether a scenario with these cases has one that is selected. Throws where it is to have one for each name, and has
    /// not.
    func selectsAny(of cases: [String]) throws(ErrorValue) -> Bool {
        if isOneOfMany { return cases.contains(where: selects) }
        if let refusal = refusal(of: cases) { throw refusal }
        return true
    }

    /// Why a name is wrong that none of these cases has; nil where each selects one.
    public func refusal(of cases: [String]) -> ErrorValue? {
        guard let wrong = patterns.first(where: { pattern in !cases.contains { WildcardText.matches($0, pattern) } })
        else { return nil }
        let near = nearest(to: wrong, in: cases).map { "; did you mean '\($0)'?" } ?? ""
        let known = cases.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (cases.count > 20 ? ", ..." : "")
        return ErrorValue(kind: .usage, "--case: no case is called '\(wrong)'\(near) (known: \(known))")
    }
}

extension CaseResult {
    /// Of a case that the user did not select.
    init(notSelected name: String) {
        self.init(name: name, verdict: .notSelected, duration_ns: 0)
        message = CaseSelection.reason
    }
}
