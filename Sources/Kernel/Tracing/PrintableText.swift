/// Foreign text, made safe for a terminal or a text file. Characters that control a terminal, reorder or hide text, or
/// are invisible become escapes ("\x1b", "\u{202e}"); a line that is too long is cut, with a mark. All code that prints
/// such text, or writes it to a readable file, uses this.
public enum PrintableText {
    /// Bytes of a line before it is cut.
    public static let longest = 8192

    /// Bytes kept free in a cut line, for the mark and for a prefix, so that the line is not cut again.
    private static let room = 192

    /// The text as one line: line ends within it are escaped too.
    public static func line(_ text: some StringProtocol, longest: Int = longest) -> String {
        let bytes = text.utf8
        if bytes.count <= longest, bytes.allSatisfy({ (0x20..<0x7f).contains($0) || $0 == 0x09 }) {
            return String(text)
        }
        var result = ""
        var read = 0
        for scalar in text.unicodeScalars {
            guard result.utf8.count < longest - room else {
                return result + "... [\(bytes.count - read) more bytes]"
            }
            read += UTF8.width(scalar)
            if isShown(scalar) { result.unicodeScalars.append(scalar) } else { result += escape(scalar) }
        }
        return result
    }

    /// The lines of a text, each escaped by ``line(_:longest:)``. A line ends with LF or CR LF.
    public static func lines(_ text: String, longest: Int = longest) -> [String] {
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.count > 1, lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { scalars in
            line(String(scalars.last == "\r" ? scalars.dropLast() : scalars), longest: longest)
        }
    }

    /// Whether a character needs no escape: it is visible, and does not affect others. Tabs need none; line ends do.
    public static func isShown(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x20..<0x7f: return true
        case ..<0xa0: return false
        default: break
        }
        // The last two code points of each plane, and 32 others, are noncharacters, which XML does not allow.
        if scalar.value & 0xfffe == 0xfffe || (0xfdd0...0xfdef).contains(scalar.value) { return false }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: return false
        default: return !scalar.properties.isDefaultIgnorableCodePoint
        }
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        switch scalar {
        case "\n": return "\\n"
        case "\r": return "\\r"
        default: return scalar.value < 0x80 ? "\\x" + (scalar.value < 16 ? "0" : "") + digits : "\\u{\(digits)}"
        }
    }
}

/// Words for sh(1).
public enum ShellWord {
    /// Quotes a word, in single quotes, unless no character in it is special to a shell.
    public static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "/"), UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: "@"), UInt8(ascii: "+"),
                UInt8(ascii: "="), UInt8(ascii: "%"):
                true
            default: false
            }
        }
        // NAME=VALUE would be an assignment only as the first word, where no caller puts one.
        if isPlain, !word.isEmpty { return word }
        return "'" + word.replacing(scalar: "'", with: "'\\''") + "'"
    }

    /// A command line of quoted words.
    public static func line(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }
}

extension String {
    /// Replaces each scalar. A writer must not go by `Character`: a combining mark behind a quote makes another one of it, and
    /// so hides it, but readers see the quote.
    public func replacing(scalar: Unicode.Scalar, with text: String) -> String {
        var result = String.UnicodeScalarView()
        for one in unicodeScalars {
            if one == scalar { result.append(contentsOf: text.unicodeScalars) } else { result.append(one) }
        }
        return String(result)
    }
}
