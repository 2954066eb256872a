import Bindings
import LuaKit
import Runner

/// What `help` says in a session.
enum ReplHelp {
    /// What a line asks for.
    enum Topic: Equatable {
        case all
        /// A name in quotes, or a bare one of two parts: "device:read".
        case name(String)
        /// An expression, whose value is explained.
        case value(String)
    }

    /// What a line asks for; nil where it does not begin with `help`.
    static func topic(_ line: String) -> Topic? {
        var text = line.drop(while: \.isWhitespace)
        guard text.hasPrefix("help") else { return nil }
        text = text.dropFirst(4)
        guard text.first.map({ !$0.isLetter && !$0.isNumber && !"_.:=".contains($0) }) ?? true else { return nil }
        var rest = trimmed(text)
        if rest.first == "(", rest.last == ")" { rest = trimmed(rest.dropFirst().dropLast()) }
        if rest.isEmpty { return .all }
        if let quote = rest.first, quote == "\"" || quote == "'", rest.last == quote {
            return .name(String(rest.dropFirst().dropLast()))
        }
        return rest.first == "=" ? nil : .value(String(rest))
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    /// What is said of a value that an expression gave; nil where nothing is known of it.
    static func lines(_ kind: Session.Kind?, _ expression: String, _ library: Library) -> [String]? {
        switch kind {
        case .described(let name):
            // An object is explained by its type.
            let type = modules.flatMap(\.classes).first { $0.name == name }?.type
            return HelpTopics.lines(type ?? name, library)
        case .module(let name), .string(let name): return HelpTopics.lines(name, library)
        case .table(let names):
            return HelpTopics.lines(expression, library)
                ?? ["a table" + (names.isEmpty ? "" : " with \(names.joined(separator: ", "))")]
        case .other(let type): return HelpTopics.lines(expression, library) ?? ["a \(type)"]
        case nil: return HelpTopics.lines(expression, library)
        }
    }
}
