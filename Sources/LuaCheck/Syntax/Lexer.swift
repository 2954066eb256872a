import Glibc

/// Splits a file into tokens. Any bytes are accepted; what is no Lua is a ``SyntaxError``.
struct Lexer {
    private let text: [UInt8]
    private var position = 0
    private var line = 1
    private var lineStart = 0
    /// Comments that begin with "---", by their line: what LuaLS takes for annotations.
    private(set) var annotations: [Int: String] = [:]

    init(_ text: [UInt8]) {
        self.text = text
        if text.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
        lineStart = position
        if position < text.count, text[position] == UInt8(ascii: "#") {
            while position < text.count, text[position] != 0x0a { position += 1 }
        }
    }

    private var place: Place { Place(line: line, column: position - lineStart + 1) }
    private func byte(_ offset: Int = 0) -> UInt8? {
        position + offset < text.count ? text[position + offset] : nil
    }

    /// The next token, and where it begins.
    mutating func next() throws(SyntaxError) -> (token: Token, place: Place) {
        try skipBlanks()
        let start = place
        guard let first = byte() else { return (.end, start) }
        switch first {
        case _ where isNameStart(first): return (word(), start)
        case 0x30...0x39: return (try number(), start)
        case UInt8(ascii: ".") where byte(1).map(isDigit) ?? false: return (try number(), start)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return (.string(try quoted(first)), start)
        case UInt8(ascii: "["):
            if let level = bracketLevel() { return (.string(try long(level, "string")), start) }
        default: break
        }
        for (bytes, symbol) in Symbol.byFirst[first] ?? [] where text[position...].starts(with: bytes) {
            position += bytes.count
            return (.symbol(symbol), start)
        }
        if first == UInt8(ascii: "!"), byte(1) == UInt8(ascii: "=") {
            throw SyntaxError(place: start, message: "'!=' is written '~=' in Lua")
        }
        let shown =
            (0x21..<0x7f).contains(first)
            ? "'\(Character(Unicode.Scalar(first)))'" : "0x" + String(first, radix: 16)
        throw SyntaxError(place: start, message: "unexpected character \(shown)")
    }

    private mutating func newLine() {
        let first = text[position]
        position += 1
        if let second = byte(), second != first, second == 0x0a || second == 0x0d { position += 1 }
        line += 1
        lineStart = position
    }

    private mutating func skipBlanks() throws(SyntaxError) {
        while let current = byte() {
            switch current {
            case 0x0a, 0x0d: newLine()
            case 0x20, 0x09, 0x0b, 0x0c: position += 1
            case UInt8(ascii: "-") where byte(1) == UInt8(ascii: "-"): try skipComment()
            default: return
            }
        }
    }

    private mutating func skipComment() throws(SyntaxError) {
        position += 2
        if byte() == UInt8(ascii: "["), let level = bracketLevel() {
            _ = try long(level, "comment")
            return
        }
        let start = position
        while let current = byte(), current != 0x0a, current != 0x0d { position += 1 }
        if start < position, text[start] == UInt8(ascii: "-") {
            annotations[line] = String(decoding: text[(start + 1)..<position], as: UTF8.self)
        }
    }

    /// The number of "=" between the brackets of a long string that begins here; nil where none does.
    private func bracketLevel() -> Int? {
        var level = 0
        while byte(1 + level) == UInt8(ascii: "=") { level += 1 }
        return byte(1 + level) == UInt8(ascii: "[") ? level : nil
    }

    private mutating func long(_ level: Int, _ what: String) throws(SyntaxError) -> [UInt8] {
        let start = place
        position += level + 2
        if let first = byte(), first == 0x0a || first == 0x0d { newLine() }
        var bytes: [UInt8] = []
        while let current = byte() {
            if current == UInt8(ascii: "]"), byte(1 + level) == UInt8(ascii: "]"),
                (0..<level).allSatisfy({ byte(1 + $0) == UInt8(ascii: "=") })
            {
                position += level + 2
                return bytes
            }
            if current == 0x0a || current == 0x0d {
                newLine()
                bytes.append(0x0a)
            } else {
                bytes.append(current)
                position += 1
            }
        }
        throw SyntaxError(place: start, message: "this long \(what) has no end")
    }

    private mutating func word() -> Token {
        let start = position
        while let current = byte(), isNameStart(current) || isDigit(current) { position += 1 }
        let name = String(decoding: text[start..<position], as: UTF8.self)
        return Symbol.words[name].map { .symbol($0) } ?? .name(name)
    }

    private mutating func number() throws(SyntaxError) -> Token {
        let (start, begin) = (position, place)
        let isHex = byte() == 0x30 && (byte(1) ?? 0) | 0x20 == UInt8(ascii: "x")
        if isHex { position += 2 }
        let exponent = UInt8(ascii: isHex ? "p" : "e")
        while let current = byte() {
            if current | 0x20 == exponent {
                position += 1
                if let sign = byte(), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { position += 1 }
            } else if isDigit(current) || isNameStart(current) || current == UInt8(ascii: ".") {
                position += 1
            } else {
                break
            }
        }
        let spelled = String(decoding: text[start..<position], as: UTF8.self)
        guard let token = Lexer.number(spelled) else {
            throw SyntaxError(place: begin, message: "malformed number '\(spelled.prefix(40))'")
        }
        return token
    }

    /// A number as Lua reads it; nil where it is malformed.
    private static func number(_ spelled: String) -> Token? {
        let digits = spelled.lowercased()
        if digits.hasPrefix("0x"), !digits.contains("."), !digits.contains("p") {
            var value: UInt64 = 0
            // As in Lua, a hexadecimal integer wraps around.
            for digit in digits.dropFirst(2) {
                guard let digit = digit.hexDigitValue else { return nil }
                value = value << 4 | UInt64(digit)
            }
            return digits.count > 2 ? .integer(Int64(bitPattern: value)) : nil
        }
        if let value = Int64(digits), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return .integer(value) }
        var end: UnsafeMutablePointer<CChar>?
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || "abcdefpx.+-".utf8.contains($0) }) else {
            return nil
        }
        return digits.withCString { text in
            let value = strtod(text, &end)
            return end.map { $0.pointee == 0 && $0 != text } == true ? .float(value) : nil
        }
    }

    private mutating func quoted(_ quote: UInt8) throws(SyntaxError) -> [UInt8] {
        let start = place
        position += 1
        var bytes: [UInt8] = []
        while let current = byte() {
            switch current {
            case quote:
                position += 1
                return bytes
            case 0x0a, 0x0d: throw SyntaxError(place: start, message: "this string does not end on its line")
            case UInt8(ascii: "\\"): try escape(&bytes)
            default:
                bytes.append(current)
                position += 1
            }
        }
        throw SyntaxError(place: start, message: "this string has no end")
    }

    private mutating func escape(_ bytes: inout [UInt8]) throws(SyntaxError) {
        let start = place
        position += 1
        guard let letter = byte() else { throw SyntaxError(place: start, message: "this string has no end") }
        let plain: [UInt8: UInt8] = [
            UInt8(ascii: "a"): 7, UInt8(ascii: "b"): 8, UInt8(ascii: "f"): 12, UInt8(ascii: "n"): 10,
            UInt8(ascii: "r"): 13, UInt8(ascii: "t"): 9, UInt8(ascii: "v"): 11, UInt8(ascii: "\\"): UInt8(ascii: "\\"),
            UInt8(ascii: "\""): UInt8(ascii: "\""), UInt8(ascii: "'"): UInt8(ascii: "'"),
        ]
        if let value = plain[letter] {
            bytes.append(value)
            position += 1
            return
        }
        switch letter {
        case 0x0a, 0x0d:
            newLine()
            bytes.append(0x0a)
        case UInt8(ascii: "z"):
            position += 1
            while let blank = byte(), [0x20, 0x09, 0x0b, 0x0c, 0x0a, 0x0d].contains(blank) {
                if blank == 0x0a || blank == 0x0d { newLine() } else { position += 1 }
            }
        case UInt8(ascii: "x"):
            guard let high = byte(1).flatMap(hexDigit), let low = byte(2).flatMap(hexDigit) else {
                throw SyntaxError(place: start, message: "'\\x' needs two hexadecimal digits")
            }
            bytes.append(high << 4 | low)
            position += 3
        case UInt8(ascii: "u"): try codePoint(&bytes, start)
        case 0x30...0x39:
            var value = 0
            for _ in 0..<3 {
                guard let digit = byte(), isDigit(digit) else { break }
                value = value * 10 + Int(digit - 0x30)
                position += 1
            }
            guard let byte = UInt8(exactly: value) else {
                throw SyntaxError(place: start, message: "'\\\(value)' is more than a byte")
            }
            bytes.append(byte)
        default: throw SyntaxError(place: start, message: "unknown escape in this string; a backslash is written \\\\")
        }
    }

    /// "\u{20AC}", up to 2^31, in the form that Lua writes.
    private mutating func codePoint(_ bytes: inout [UInt8], _ start: Place) throws(SyntaxError) {
        let malformed = SyntaxError(
            place: start, message: "'\\u' is written with hexadecimal digits in braces, as \\u{20AC}")
        guard byte(1) == UInt8(ascii: "{") else { throw malformed }
        position += 2
        var value: UInt64 = 0
        var digits = 0
        while let digit = byte().flatMap(hexDigit) {
            value = value << 4 | UInt64(digit)
            digits += 1
            guard value < 1 << 31 else { throw SyntaxError(place: start, message: "this UTF-8 value is too large") }
            position += 1
        }
        guard digits > 0, byte() == UInt8(ascii: "}") else { throw malformed }
        position += 1
        if value < 0x80 {
            bytes.append(UInt8(value))
            return
        }
        var rest: [UInt8] = []
        var first: UInt64 = 0x3f
        while value > first {
            rest.insert(UInt8(0x80 | value & 0x3f), at: 0)
            value >>= 6
            first >>= 1
        }
        bytes.append(UInt8(truncatingIfNeeded: ~first << 1 | value))
        bytes += rest
    }
}

private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
private func isNameStart(_ byte: UInt8) -> Bool {
    (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == UInt8(ascii: "_")
}
private func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
}
