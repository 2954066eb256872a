import Kernel

/// Pieces of C.
enum CText {
    static func number(_ value: UInt64) -> String {
        if value < 10 { return String(value) }
        let digits = "0x" + String(value, radix: 16)
        return value > 0xffff_ffff ? digits + "ULL" : value > 0x7fff_ffff ? digits + "U" : digits
    }

    static func identifier(_ symbol: String) -> String {
        String(symbol.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    /// Bytes as a string.
    static func string(_ bytes: [UInt8]) -> String {
        "\"" + bytes.map { "\\x" + hexDigits($0, width: 2) }.joined() + "\""
    }

    /// Whether a text is a name in C that a program may give: an identifier, and no keyword.
    static func isName(_ text: some StringProtocol) -> Bool {
        let isIdentifier = text.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): index > 0
            default: false
            }
        }
        return isIdentifier && !text.isEmpty && text.utf8.count <= 64 && !keywords.contains(String(text))
    }

    /// Of C23 and of GNU C.
    private static let keywords: Set<String> = [
        "alignas", "alignof", "asm", "auto", "bool", "break", "case", "char", "const", "constexpr", "continue",
        "default", "do", "double", "else", "enum", "extern", "false", "float", "for", "goto", "if", "inline", "int",
        "long", "nullptr", "register", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
        "struct", "switch", "thread_local", "true", "typedef", "typeof", "typeof_unqual", "union", "unsigned", "void",
        "volatile", "while", "_Alignas", "_Alignof", "_Atomic", "_BitInt", "_Bool", "_Complex", "_Decimal128",
        "_Decimal32", "_Decimal64", "_Generic", "_Imaginary", "_Noreturn", "_Static_assert", "_Thread_local",
        "__asm__", "__attribute__", "__extension__", "__typeof__", "_Pragma", "linux", "unix",
    ]

    /// A structure's member in C. Names in capital letters, and some others, may be macros of the headers that the file includes;
    /// and gaps have names of their own.
    static func member(_ name: String) -> String {
        let isMacro = !name.contains(where: \.isLowercase) || headerNames.contains(name)
        return isMacro || reservedPrefixes.contains(where: name.hasPrefix) ? "member_" + name : name
    }

    private static let headerNames: Set<String> = [
        "errno", "stdin", "stdout", "stderr", "sched_priority", "st_atime", "st_mtime", "st_ctime",
    ]
    private static let reservedPrefixes = ["_", "gap_", "member_", "ibv_", "sa_", "si_", "sigev_"]

    /// As text in a comment: it cannot end it, nor go on in the next line, nor hold a trigraph.
    static func comment(_ text: String) -> String {
        var result = ""
        var last: Unicode.Scalar = " "
        for scalar in PrintableText.line(text).unicodeScalars {
            let shown = scalar.isASCII ? scalar : "?"
            switch (last, shown) {
            case ("*", "/"), ("/", "*"), ("?", "?"): result += " "
            default: break
            }
            result.unicodeScalars.append(shown)
            last = shown
        }
        return last == "\\" ? result + "." : result
    }

    /// A string constant.
    static func quoted(_ text: String) -> String { quoted(Array(text.utf8)) }

    /// The same of bytes.
    static func quoted(_ bytes: [UInt8]) -> String {
        var result = "\""
        for byte in bytes {
            switch byte {
            // Two question marks begin a trigraph.
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "?"):
                result += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7f: result += String(UnicodeScalar(byte))
            default:
                // Three octal digits end by themselves, which hexadecimal ones do not.
                let digits = String(byte, radix: 8)
                result += "\\" + String(repeating: "0", count: 3 - digits.count) + digits
            }
        }
        return result + "\""
    }

    /// "{ 0x01, 0x02 }", cut where the rest is zeros.
    static func bytes(_ bytes: [UInt8]) -> String {
        let used = bytes.count - bytes.reversed().prefix { $0 == 0 }.count
        // No list of C's is empty.
        guard used > 0 else { return "{ 0 }" }
        let list = bytes[..<used].map { "0x" + hexDigits($0, width: 2) }
        return "{ " + list.joined(separator: ", ") + " }"
    }

    /// Parts in lines, several in each where they are short: ".argsz = 24, .flags = 1,".
    static func lines(_ parts: [String], _ joint: String = ", ") -> [String] {
        var lines: [String] = []
        for part in parts {
            if let last = lines.last, last.utf8.count + part.utf8.count < 96 {
                lines[lines.count - 1] = last + joint + part
            } else {
                lines.append(part)
            }
        }
        let end = joint.dropLast()
        return lines.map { $0 + end }
    }
}
