/// A selection by tags: "tph and not (slow or host)".
public indirect enum TagExpression: Sendable, Equatable {
    /// One tag.
    case tag(String)
    /// Negation.
    case not(TagExpression)
    /// Both.
    case and(TagExpression, TagExpression)
    /// One of them, or both.
    case or(TagExpression, TagExpression)

    /// A text that is not a valid expression.
    public struct Invalid: Error {
        /// The mistake and its position.
        public let message: String
    }

    /// Parses an expression. `not` binds tighter than `and`, `and` tighter than `or`.
    public init(_ text: String) throws(Invalid) {
        var words = TagExpression.words(text)[...]
        guard words.count <= 1000 else { throw Invalid(message: "it has more than 1000 words") }
        self = try TagExpression.alternatives(&words)
        if let word = words.first { throw Invalid(message: "'\(word)' is one word too many in '\(text)'") }
    }

    private static func words(_ text: String) -> [String] {
        text.replacing("(", with: " ( ").replacing(")", with: " ) ").split(whereSeparator: \.isWhitespace)
            .map(String.init)
    }

    private static func alternatives(_ words: inout ArraySlice<String>) throws(Invalid) -> TagExpression {
        var left = try both(&words)
        while words.first == "or" {
            words.removeFirst()
            left = .or(left, try both(&words))
        }
        return left
    }

    private static func both(_ words: inout ArraySlice<String>) throws(Invalid) -> TagExpression {
        var left = try one(&words)
        while words.first == "and" {
            words.removeFirst()
            left = .and(left, try one(&words))
        }
        return left
    }

    private static func one(_ words: inout ArraySlice<String>) throws(Invalid) -> TagExpression {
        guard let word = words.popFirst() else { throw Invalid(message: "a tag is missing at the end") }
        switch word {
        case "not": return .not(try one(&words))
        case "(":
            let inner = try alternatives(&words)
            guard words.popFirst() == ")" else { throw Invalid(message: "a ')' is missing") }
            return inner
        case ")", "and", "or": throw Invalid(message: "a tag is missing before '\(word)'")
        default: return .tag(word)
        }
    }

    /// Whether the expression is true for these tags.
    public func matches(_ tags: [String]) -> Bool {
        switch self {
        case .tag(let tag): tags.contains(tag)
        case .not(let inner): !inner.matches(tags)
        case .and(let one, let other): one.matches(tags) && other.matches(tags)
        case .or(let one, let other): one.matches(tags) || other.matches(tags)
        }
    }
}
