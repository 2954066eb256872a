import Glibc
import Testing

/// Commands and their output as text: "$ COMMAND", then the lines that it prints. "..." in a line stands for anything; a line of
/// "..." for any number of lines.
enum Transcript {
    /// The commands, each with the lines behind it.
    static func commands(_ lines: [Substring]) -> [(command: Substring, expected: [Substring])] {
        var commands: [(command: Substring, expected: [Substring])] = []
        for line in lines {
            if line.hasPrefix("$ ") {
                commands.append((line.dropFirst(2), []))
            } else if !commands.isEmpty {
                commands[commands.count - 1].expected.append(line)
            }
        }
        return commands
    }

    /// Nil where the lines fit, but for empty ones at both ends; else what does not.
    static func mismatch(_ found: [Substring], _ expected: [Substring]) -> String? {
        let wanted = expected.drop { $0.isEmpty }.reversed().drop { $0.isEmpty }.reversed()
        return matches(found, Array(wanted))
    }

    /// Nil where the lines fit, else the first that does not.
    private static func matches(_ found: [Substring], _ wanted: [Substring]) -> String? {
        guard let first = wanted.first else { return found.isEmpty ? nil : "more than expected: \(found[0])" }
        if first == "..." {
            let rest = Array(wanted.dropFirst())
            for start in 0...found.count where matches(Array(found[start...]), rest) == nil { return nil }
            return "nothing fits after '...': \(rest.first ?? "")"
        }
        guard let line = found.first else { return "missing: \(first)" }
        guard fits(line, first) else { return "expected: \(first)\nfound:    \(line)" }
        return matches(Array(found.dropFirst()), Array(wanted.dropFirst()))
    }

    private static func fits(_ line: Substring, _ pattern: Substring) -> Bool {
        fnmatch(pattern.escapingForFnmatch(), String(line), 0) == 0
    }

    /// A file's text.
    static func contents(_ path: String) throws -> String {
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The text with another beginning.
    static func replacingPrefix(_ text: Substring, _ prefix: String, with other: String) -> String {
        text.hasPrefix(prefix) ? other + text.dropFirst(prefix.count) : String(text)
    }
}

extension Substring {
    /// "..." is the only wildcard.
    fileprivate func escapingForFnmatch() -> String {
        var text = ""
        for character in self {
            if "*?[]\\".contains(character) { text.append("\\") }
            text.append(character)
        }
        return text.replacingDots()
    }
}

extension String {
    fileprivate func replacingDots() -> String {
        var result = ""
        var rest = Substring(self)
        while let range = rest.firstRange(of: "...") {
            result += rest[..<range.lowerBound] + "*"
            rest = rest[range.upperBound...]
        }
        return result + rest
    }
}
