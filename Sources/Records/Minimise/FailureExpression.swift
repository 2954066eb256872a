import Kernel

/// Which answer of a record is the failure: "operation == IOMMU_IOAS_MAP_FILE && errno == EADDRINUSE". Words are
/// `operation` (the function's name, of an ioctl its request), `errno` (a name, or none), `verdict` (same, differs,
/// impossible: against the record), `line`, `argument.NAME` and `output.NAME` (as records name them, lists' elements from 0:
/// argument.dma_ranges.2.offset, output.result); they are compared with == and !=, joined by && and ||, turned by !. A
/// comparison with a value that the operation does not have is false for == and true for !=.
public struct FailureExpression: Sendable {
    indirect enum Node: Sendable {
        case compare(String, String, isEqual: Bool)
        case not(Node)
        case both(Node, Node)
        case either(Node, Node)
    }
    private let root: Node

    /// Reads an expression.
    public init(_ text: String) throws(RecordError) {
        var parser = Parser(text)
        root = try parser.either(0)
        guard parser.next == nil else { throw parser.error("what is '\(parser.next ?? "")'?") }
    }

    /// Whether arguments or outputs are asked for.
    public var asksValues: Bool { FailureExpression.asksValues(root) }

    private static func asksValues(_ node: Node) -> Bool {
        switch node {
        case .compare(let name, _, _): Answer.isValue(name)
        case .not(let inner): asksValues(inner)
        case .both(let one, let other), .either(let one, let other): asksValues(one) || asksValues(other)
        }
    }

    /// Whether an answer is the failure.
    public func matches(_ answer: Answer) -> Bool { FailureExpression.value(root, answer) }

    private static func value(_ node: Node, _ answer: Answer) -> Bool {
        switch node {
        case .compare(let name, let wanted, let isEqual): answer.word(name).contains(Answer.plain(wanted)) == isEqual
        case .not(let inner): !value(inner, answer)
        case .both(let one, let other): value(one, answer) && value(other, answer)
        case .either(let one, let other): value(one, answer) || value(other, answer)
        }
    }

    private struct Parser {
        private var words: [String] = []
        private var position = 0
        /// Comparisons so far. Chains of && and || are limited too: the tree is as deep as a chain is long.
        private var count = 0

        init(_ text: String) {
            var word = ""
            func isWord(_ character: Character) -> Bool {
                character.isLetter || character.isNumber || "_.-".contains(character)
            }
            var rest = Substring(text)
            while let character = rest.first {
                if isWord(character) {
                    word.append(rest.removeFirst())
                    continue
                }
                if !word.isEmpty { words.append(word) }
                word = ""
                if rest.hasPrefix("==") || rest.hasPrefix("!=") || rest.hasPrefix("&&") || rest.hasPrefix("||") {
                    words.append(String(rest.prefix(2)))
                    rest = rest.dropFirst(2)
                } else if character == "\"" || character == "'" {
                    rest.removeFirst()
                    words.append(String(rest.prefix { $0 != character }))
                    rest = rest.drop { $0 != character }.dropFirst()
                } else {
                    if !character.isWhitespace { words.append(String(character)) }
                    rest.removeFirst()
                }
            }
            if !word.isEmpty { words.append(word) }
        }

        var next: String? { words.indices.contains(position) ? words[position] : nil }

        func error(_ message: String) -> RecordError { RecordError(line: 0, message: "in the expression: \(message)") }

        private mutating func take(_ word: String) -> Bool {
            guard next == word else { return false }
            position += 1
            return true
        }

        mutating func either(_ depth: Int) throws(RecordError) -> Node {
            guard depth < 64 else { throw error("it is too deep") }
            var node = try both(depth)
            while take("||") { node = .either(node, try both(depth)) }
            return node
        }

        private mutating func both(_ depth: Int) throws(RecordError) -> Node {
            var node = try one(depth)
            while take("&&") { node = .both(node, try one(depth)) }
            return node
        }

        /// A misspelled word would hold for no answer.
        private func check(_ value: String, of name: String) throws(RecordError) {
            switch name {
            case "errno" where value != Answer.success && !value.hasPrefix("errno ") && Errno(name: value) == nil:
                throw error("'\(value)' is no errno, nor \(Answer.success)")
            case "verdict" where !Answer.verdicts.contains(value):
                throw error("'\(value)' is no verdict: \(Answer.verdicts.joined(separator: ", "))")
            default: break
            }
        }

        private mutating func one(_ depth: Int) throws(RecordError) -> Node {
            guard depth < 64 else { throw error("it is too deep") }
            if take("!") { return .not(try one(depth + 1)) }
            if take("(") {
                let node = try either(depth + 1)
                guard take(")") else { throw error("')' is missing") }
                return node
            }
            guard let name = next, Answer.words.contains(name) || Answer.isValue(name) else {
                throw error(
                    "\(Answer.words.joined(separator: ", ")), argument.NAME and output.NAME can be asked, not "
                        + "'\(next ?? "nothing")'")
            }
            position += 1
            let isEqual = take("==")
            guard isEqual || take("!="), let value = next else { throw error("'\(name)' takes == or !=, and a value") }
            position += 1
            try check(value, of: name)
            count += 1
            guard count <= 1000 else { throw error("it has more than 1000 comparisons") }
            return .compare(name, value, isEqual: isEqual)
        }
    }
}

/// How an operation of a record was answered when it was made again.
public struct Answer: Sendable, Codable, Equatable {
    /// The operation's line in the record.
    public var line: Int
    /// The function's name; of an ioctl its request.
    public var operation: String
    /// An errno's name; "none" of a success.
    public var errno: String
    static let success = "none"
    /// "same" or "differs" from what is recorded; "impossible" where it could not be made.
    public var verdict: String

    /// Which check refused, where a simulated kernel did.
    public var check: String?
    /// Arguments and outputs by name, where they are wanted: the text, and of a number the plain digits.
    public var values: [String: [String]]?

    static let verdicts = ["same", "differs", "impossible"]

    static let words = ["operation", "errno", "verdict", "line"]

    static func isValue(_ word: String) -> Bool { word.hasPrefix("argument.") || word.hasPrefix("output.") }

    /// A number's plain digits; any other text as it is.
    static func plain(_ text: String) -> String {
        let digits = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
        return digits.map { String($0) } ?? text
    }

    /// What a word may be compared with.
    func word(_ name: String) -> [String] {
        switch name {
        case "operation": [operation]
        case "errno": [errno]
        case "verdict": [verdict]
        case "line": [String(line)]
        default: values?[name] ?? []
        }
    }

    /// True where line, operation, errno, verdict and check agree; values may differ.
    func isSameFailure(as other: Answer) -> Bool {
        var other = other
        other.values = values
        return self == other
    }
}

extension Operation {
    /// Arguments and outputs by their names, as ``FailureExpression`` asks for them.
    var values: [String: [String]] {
        var found: [String: [String]] = [:]
        func add(_ name: String, _ value: Value) {
            var texts = [text(value, WholeNames())]
            switch value {
            case .number(let number, _): texts.append(String(number))
            case .text(let text): texts.append(text)
            case .structure(let members): for member in members { add("\(name).\(member.name)", member.value) }
            case .list(let values): for (index, value) in values.enumerated() { add("\(name).\(index)", value) }
            default: break
            }
            found[name] = texts
        }
        for (parameter, value) in zip(signature.parameters, arguments) {
            if case .structure(let members) = value, !parameter.isOutput {
                for member in members { add("argument.\(member.name)", member.value) }
            } else {
                add(parameter.isOutput ? "output.\(parameter.name)" : "argument.\(parameter.name)", value)
            }
        }
        for output in outputs { add("output.\(output.name)", output.value) }
        if errno == nil { add("output.result", result) }
        return found
    }
}
