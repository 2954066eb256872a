import Bindings

/// What a Lua module of the stdlib offers, from the comments of its file: they are its only description, which editors
/// read there too.
struct LuaFileReference {
    /// The name for `require`.
    let name: String
    /// What it is for, in paragraphs.
    let doc: [String]
    /// Its functions, fields and classes' methods, in the order of the file.
    private(set) var entries: [ReferenceEntry] = []

    /// From a file's text. What is not of the table that the file returns, and no method, is left out.
    init(_ name: String, _ text: String) {
        self.name = name
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        doc = LuaFileReference.paragraphs(LuaFileReference.comment(atTopOf: text))
        var reader = Reader(module: name, table: LuaFileReference.returned(lines))
        for line in lines { reader.take(line) }
        entries = reader.entries
    }

    /// The comment that a file begins with, without its marks.
    static func comment(atTopOf text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).prefix { $0.hasPrefix("--") }.map(plain)
    }

    /// A comment's line without its mark.
    private static func plain(_ line: Substring) -> String {
        let text = line.drop { $0 == "-" }
        return String(text.first == " " ? text.dropFirst() : text)
    }

    /// The output of `peerlab help MODULE`.
    var lines: [String] {
        let head = doc.first.map { ": \($0)" } ?? ""
        return ["module \(name)\(head)"] + doc.dropFirst() + [""] + entries.flatMap(\.text)
    }

    /// Lines that belong together as one; what is indented, and what a blank line divides, stays apart.
    static func paragraphs(_ lines: [String]) -> [String] {
        var found: [String] = [], isOpen = false
        for line in lines {
            if line.isEmpty || line.hasPrefix(" ") {
                isOpen = false
                if !line.isEmpty { found.append(line) }
            } else if isOpen, let last = found.last {
                found[found.count - 1] = last + " " + line
            } else {
                found.append(line)
                isOpen = true
            }
        }
        return found
    }

    /// The local name of the table that the file returns.
    private static func returned(_ lines: [Substring]) -> Substring? {
        lines.last { $0.hasPrefix("return ") }?.dropFirst("return ".count)
    }

    /// Reads a file line by line.
    private struct Reader {
        let module: String
        let table: Substring?
        var entries: [ReferenceEntry] = []
        private var comment: [String] = []
        private var signature: String?
        /// Whether the line is in the constructor of the module's table, and how deep.
        private var depth: Int?

        init(module: String, table: Substring?) {
            self.module = module
            self.table = table
        }

        mutating func take(_ line: Substring) {
            let text = line.drop { $0 == " " }
            if text.hasPrefix("---@overload fun(") {
                signature = LuaFileReference.arguments(text.dropFirst("---@overload fun(".count).prefix { $0 != ")" })
                return
            }
            if text.hasPrefix("---@") { return }
            if text.hasPrefix("--") {
                comment.append(LuaFileReference.plain(text))
                return
            }
            if text.hasPrefix("function ") { addFunction(text.dropFirst("function ".count)) }
            if depth == 0 { addField(text) }
            if let table {
                if text.hasPrefix("\(table)."), depth == nil { addField(text.dropFirst(table.count + 1)) }
                if text == "local \(table) = {" { depth = -1 }
            }
            count(text)
            (comment, signature) = ([], nil)
        }

        /// Braces say how deep in the table's constructor the next line is.
        private mutating func count(_ text: Substring) {
            guard let before = depth else { return }
            let code = text.firstRange(of: "--").map { text[..<$0.lowerBound] } ?? text
            let now = before + code.reduce(0) { $0 + ($1 == "{" ? 1 : $1 == "}" ? -1 : 0) }
            depth = now < 0 ? nil : now
        }

        /// "expect.equal(...)" of the module's table, or "Scope:close()", a method.
        private mutating func addFunction(_ text: Substring) {
            guard let open = text.firstIndex(of: "("), let close = text[open...].firstIndex(of: ")") else { return }
            let name = text[..<open]
            let arguments = signature ?? String(text[text.index(after: open)..<close])
            if let table, name.hasPrefix("\(table).") {
                add("\(module).\(name.dropFirst(table.count + 1))", "(\(arguments))")
            } else if let colon = name.firstIndex(of: ":"), !comment.isEmpty {
                add(name[..<colon].lowercased() + name[colon...], "(\(arguments))")
            }
        }

        /// "VENDOR_ID = 0x00, -- 2 bytes"; names with another dot are functions' own business.
        private mutating func addField(_ text: Substring) {
            let parts = text.split(separator: " = ", maxSplits: 1)
            guard parts.count == 2, let first = parts[0].first, first.isLetter,
                parts[0].allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "," || $0 == " " || $0 == "." })
            else { return }
            var value = parts[1], behind = ""
            if let start = value.firstRange(of: "-- ") {
                behind = "  " + value[start.upperBound...]
                value = value[..<start.lowerBound]
            }
            while value.last == " " || value.last == "," { value.removeLast() }
            let shown = value.hasPrefix("{") && !value.hasSuffix("}") ? "{ ... }" : String(value)
            // tph_feature.ST, tph_feature.ST_EXT = 1, 2
            for name in parts[0].split(separator: ",") {
                let name = name.drop { $0 == " " }
                add(
                    "\(module).\(name.split(separator: ".").last ?? name)",
                    (parts[0].contains(",") ? "" : " = \(shown)") + behind)
            }
        }

        private mutating func add(_ name: String, _ rest: String) {
            let doc = LuaFileReference.paragraphs(comment).map { "    \($0)" }
            entries.append(ReferenceEntry(name, ["\(name)\(rest)"] + doc))
        }
    }

    /// "found, expected, [what]" of "found: any, expected: any, what?: string".
    private static func arguments(_ text: Substring) -> String {
        text.split(separator: ",").map { part in
            let name = part.drop { $0 == " " }.prefix { $0 != ":" }
            return name.hasSuffix("?") ? "[\(name.dropLast())]" : String(name)
        }.joined(separator: ", ")
    }
}
