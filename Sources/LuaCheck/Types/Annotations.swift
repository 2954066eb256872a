/// What LuaLS's annotations of a file say of its classes and functions (https://luals.github.io/wiki/annotations).
struct Annotations {
    /// The file's classes by name.
    private(set) var classes: [String: AnnotatedClass] = [:]
    /// Names of classes that others, also of scripts, have the fields of: parents, and bounds of type parameters.
    private(set) var bases: Set<String> = []
    private let lines: [Int: String]

    init(_ chunk: Chunk) {
        lines = chunk.annotations
        readClasses()
        for body in chunk.functions { readMethods(body.block, chunk) }
    }

    private mutating func readClasses() {
        var current: AnnotatedClass?
        var last = 0
        for (line, text) in lines.sorted(by: { $0.key < $1.key }) {
            if line != last + 1 { current = nil }
            last = line
            if let name = AnnotatedClass.named(in: text) {
                let known = classes[name.name] ?? AnnotatedClass(name.name)
                known.parent = known.parent ?? name.parent
                if let parent = name.parent { bases.insert(parent) }
                classes[name.name] = known
                current = known
            } else if let current, let field = AnnotatedField(text, after: "@field") {
                current.fields.append(field)
            } else if text.first == "@" {
                current = nil
                if let text = AnnotatedType.words(text, after: "@generic") {
                    bases.formUnion(AnnotatedType.bounds(text).values)
                }
            }
        }
    }

    /// Methods of the variables that a class's annotation stands before.
    private mutating func readMethods(_ block: [Statement], _ chunk: Chunk) {
        for statement in block {
            switch statement.kind {
            case .local(let variables, _):
                guard let variable = variables.first, variables.count == 1 else { break }
                variable.annotatedClass = className(above: variable.place.line)
            case .function(let target, let body):
                guard case .index(let object, let key) = target.kind, case .local(let variable) = object.kind,
                    let name = key.text, let owner = variable.annotatedClass.flatMap({ classes[$0] })
                else { break }
                owner.methods[name] = Signature(
                    "\(owner.name):\(name)", body, chunk.annotations, isShipped: true)
            default: break
            }
        }
    }

    /// The class whose annotation ends on the line before.
    private func className(above line: Int) -> String? {
        var line = line - 1
        while let text = lines[line] {
            if let name = AnnotatedClass.named(in: text) { return name.name }
            line -= 1
        }
        return nil
    }
}

/// A class of tables that annotations describe.
final class AnnotatedClass {
    let name: String
    /// The class whose fields and methods it has as well.
    var parent: String?
    var fields: [AnnotatedField] = []
    var methods: [String: Signature] = [:]

    init(_ name: String) { self.name = name }

    /// The class `{ name: type, ... }`, from what stands between the braces.
    convenience init(fields text: String) {
        self.init("this table")
        fields = AnnotatedType.parts(of: text, separatedBy: ",").compactMap { part in
            let halves = AnnotatedType.parts(of: part, separatedBy: ":", most: 2)
            return halves.count == 2 ? AnnotatedField(halves[0], halves[1]) : nil
        }
    }

    /// The names in "@class NAME: PARENT".
    fileprivate static func named(in text: String) -> (name: String, parent: String?)? {
        guard let rest = AnnotatedType.words(text, after: "@class") else { return nil }
        let names = AnnotatedType.parts(of: rest, separatedBy: ":", most: 2)
        guard let name = names.first.map({ AnnotatedType.first(of: $0).type }), !name.isEmpty else { return nil }
        return (name, names.count > 1 ? AnnotatedType.first(of: names[1]).type : nil)
    }
}

/// A field of a class, or a parameter of a function.
struct AnnotatedField {
    let name: String
    /// As LuaLS writes it.
    let type: String
    /// Whether it may be nil.
    let isOptional: Bool

    /// A name, with "?" behind it where it may be nil, and a type.
    init(_ name: String, _ type: String) {
        let bare = name.filter { $0 != " " }
        self.name = bare.hasSuffix("?") ? String(bare.dropLast()) : bare
        self.type = AnnotatedType.first(of: type).type
        isOptional = bare.hasSuffix("?") || AnnotatedType.alternatives(of: self.type).contains("nil")
    }

    /// What an annotation such as "@field name? type" says.
    init?(_ annotation: String, after word: String) {
        guard let text = AnnotatedType.words(annotation, after: word) else { return nil }
        let (name, rest) = AnnotatedType.first(of: text)
        guard !name.isEmpty, !rest.isEmpty else { return nil }
        self.init(name, rest)
    }
}

/// Types as LuaLS writes them: "integer|string", "{ addr: integer }", "fun(t: case): rdma.mr".
enum AnnotatedType {
    /// Bytes of the longest type that is looked at: each bracket of it is a step.
    static let longest = 400
    /// Bytes of an annotation that are looked at, and lines above a function.
    private static let longestLine = 500
    static let mostLines = 50

    /// What stands behind a word that begins an annotation.
    static func words(_ annotation: String, after word: String) -> String? {
        guard annotation.hasPrefix(word + " ") else { return nil }
        return String(annotation.prefix(longestLine).dropFirst(word.count + 1).drop { $0 == " " })
    }

    /// The bounds of the type parameters in "T: scope.scope, U"; "any" for those without one.
    static func bounds(_ text: String) -> [String: String] {
        var bounds: [String: String] = [:]
        for part in parts(of: text, separatedBy: ",") {
            let names = parts(of: part, separatedBy: ":", most: 2)
            if let name = names.first { bounds[name] = names.count > 1 ? names[1] : "any" }
        }
        return bounds
    }

    /// The first type of a text, and what stands behind it.
    static func first(of text: String) -> (type: String, rest: String) {
        let text = text.drop { $0 == " " }
        var depth = 0
        var before: Character = "|"
        var index = text.startIndex
        while index < text.endIndex {
            let character = text[index]
            guard character == " ", depth == 0 else {
                depth += opening.contains(character) ? 1 : closing.contains(character) ? -1 : 0
                before = character
                index = text.index(after: index)
                continue
            }
            let rest = text[index...].drop { $0 == " " }
            // "a | b" and "fun(): a" go on.
            if before != "|", before != ":", rest.first != "|" { return (String(text[..<index]), String(rest)) }
            index = rest.startIndex
        }
        return (String(text), "")
    }

    /// The types of a union.
    static func alternatives(of type: String) -> [String] {
        parts(of: type, separatedBy: "|").flatMap { part in
            // Of a function's type the mark belongs to its result.
            guard part.hasSuffix("?"), !part.hasPrefix("fun(") else { return [part] }
            return [String(part.dropLast()), "nil"]
        }
    }

    /// Parts between separators that are in no brackets, without blanks around them.
    static func parts(of text: String, separatedBy separator: Character, most: Int = .max) -> [String] {
        var parts: [String] = []
        var depth = 0
        var current = ""
        for character in text {
            if character == separator, depth == 0, parts.count < most - 1 {
                parts.append(current)
                current = ""
                continue
            }
            depth += opening.contains(character) ? 1 : closing.contains(character) ? -1 : 0
            current.append(character)
        }
        return (parts + [current]).map { trimmed($0) }.filter { !$0.isEmpty }
    }

    private static let opening: Set<Character> = ["(", "{", "<", "["]
    private static let closing: Set<Character> = [")", "}", ">", "]"]

    private static func trimmed(_ text: String) -> String {
        var text = Substring(text).drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
