import Kernel

/// Everything that shows a failure, in one plain text that a mailing list takes: scenario, modules, options, record, result.
/// Each line of a file begins with a space, or, where it goes on from the line before, with a backslash, so that nothing of
/// it is a mail's own.
public struct Bundle: Sendable {
    static let mark = "peerlab bundle 1"
    /// Bytes of the longest mail that the lists of vger.kernel.org take (their limit is 100,000 characters).
    public static let longest = 100_000
    private static let longestLine = 900
    /// So many files, and lines before them.
    private static let mostParts = 1000

    /// One file.
    public struct File: Sendable {
        /// A name without folders, or of a module in folders below.
        public let name: String
        /// Text: printable, with tabs and line ends.
        public let text: String

        /// A file of that name.
        public init(name: String, text: String) {
            self.name = name
            self.text = text
        }
    }

    /// "scenario", "options" and the like, in order.
    public var header: [(key: String, value: String)]
    /// The scenario first.
    public var files: [File]

    /// A bundle of these parts.
    public init(header: [(key: String, value: String)], files: [File]) {
        self.header = header
        self.files = files
    }

    /// The header's first value; nil where it has none.
    public subscript(key: String) -> String? { header.first { $0.key == key }?.value }
    /// All values of a key that may come again.
    public func all(_ key: String) -> [String] { header.filter { $0.key == key }.map(\.value) }
    /// A file's text.
    public func file(_ name: String) -> String? { files.first { $0.name == name }?.text }

    /// Whether a text says that it is one.
    public static func isBundle(_ text: String) -> Bool { text.hasPrefix(mark + "\n") || text.hasPrefix(mark + "\r\n") }

    /// The whole text.
    public var text: String {
        var lines = [Bundle.mark] + header.map { "\($0.key): \(Record.oneLine($0.value))" }
        for file in files {
            let content = Bundle.lines(file.text)
            lines.append("--- file \(file.name) \(content.count) lines \(Bundle.sum(file.text))")
            lines += content
        }
        lines.append("--- end")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func lines(_ text: String) -> [String] {
        var result: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast(text.hasSuffix("\n") ? 1 : 0)
        {
            var rest = Array(line.utf8)[...]
            var first = true
            repeat {
                // Between characters.
                var end = min(rest.count, longestLine)
                while end < rest.count, end > 0, rest[rest.startIndex + end] & 0xc0 == 0x80 { end -= 1 }
                let part = rest.prefix(max(end, 1))
                result.append((first ? " " : "\\") + String(decoding: part, as: UTF8.self))
                rest = rest.dropFirst(part.count)
                first = false
            } while !rest.isEmpty
        }
        return result
    }

    /// 64-bit FNV-1a of the text without empty lines and trailing blanks, which mail programs change.
    private static func sum(_ text: String) -> String {
        var hash = FNV1a()
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            var bytes = Array(line.utf8)
            while let last = bytes.last, [0x20, 0x09, 0x0d].contains(last) { bytes.removeLast() }
            if !bytes.isEmpty { hash.add(bytes + [10]) }
        }
        return String(hash.value, radix: 16)
    }

    /// Whether a value of the header is read as it was written.
    public static func isValue(_ value: String) -> Bool { Record.oneLine(value) == value && value.first != " " }

    /// True where every character is printable or a line end: a reader of the mail sees all of the file.
    public static func isPlain(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { $0 == "\n" || PrintableText.isShown($0) }
    }

    /// Reads a bundle, also one with what mailers add: a reply's quotes are not removed, line ends may be CR LF.
    public init(parsing text: String) throws(RecordError) {
        self.init(header: [], files: [])
        var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }[...]
        guard lines.first.map({ $0 == Bundle.mark }) ?? false else {
            throw RecordError(line: 1, message: "no bundle: its first line would be '\(Bundle.mark)'")
        }
        lines.removeFirst()
        var number = 1
        while let line = lines.first, !line.hasPrefix("--- ") {
            number += 1
            lines.removeFirst()
            guard let colon = line.firstIndex(of: ":") else {
                throw RecordError(line: number, message: "'key: value' or '--- file' comes here")
            }
            guard header.count < Bundle.mostParts else {
                throw RecordError(line: number, message: "a bundle has at most \(Bundle.mostParts) lines here")
            }
            header.append((String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " })))
        }
        while let line = lines.popFirst() {
            number += 1
            if line == "--- end" { return }
            let words = line.split(separator: " ")
            guard words.count == 6, words[0] == "---", words[1] == "file", words[4] == "lines",
                let count = Int(words[3]), count >= 0, count <= lines.count
            else { throw RecordError(line: number, message: "'--- file NAME N lines SUM' or '--- end' comes here") }
            let name = String(words[2])
            guard Bundle.isName(name), file(name) == nil else {
                throw RecordError(line: number, message: "'\(name.prefix(60))' is no name for a file in a bundle")
            }
            guard files.count < Bundle.mostParts else {
                throw RecordError(line: number, message: "a bundle has at most \(Bundle.mostParts) files")
            }
            let text = try Bundle.join(lines.prefix(count), from: number + 1)
            guard Bundle.sum(text) == words[5] else {
                throw RecordError(line: number, message: "\(name) was changed on its way: its sum is another")
            }
            files.append(File(name: name, text: text))
            lines = lines.dropFirst(count)
            number += count
        }
        throw RecordError(line: number, message: "it ends before '--- end': a part is missing")
    }

    /// Whether it is a path of ASCII letters, digits, "-", "_" and ".", whose parts have "/" between and none a dot at its
    /// beginning: the file stays inside the folder that it is put into.
    public static func isName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return name.utf8.count <= 200 && !parts.isEmpty
            && parts.allSatisfy { part in
                !part.isEmpty && part.first != "."
                    && part.utf8.allSatisfy { byte in
                        switch byte {
                        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
                        default: false
                        }
                    }
            }
    }

    private static func join(_ lines: ArraySlice<Substring>, from number: Int) throws(RecordError) -> String {
        var text = ""
        for (index, line) in lines.enumerated() {
            // Mailers cut blank lines to nothing.
            switch line.first {
            case " ", nil: text += (text.isEmpty && index == 0 ? "" : "\n") + line.dropFirst()
            case "\\" where index > 0: text += line.dropFirst()
            default:
                throw RecordError(line: number + index, message: "a file's line begins with a space or a backslash")
            }
        }
        return lines.isEmpty ? "" : text + "\n"
    }
}
