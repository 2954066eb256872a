/// Why a text is no record.
public struct RecordError: Error, Sendable {
    /// From 1; 0 of the text as a whole.
    public let line: Int
    /// What is wrong there.
    public let message: String

    /// "line 12: ..."
    public var text: String { line > 0 ? "line \(line): \(message)" : message }
}

/// The words of a line: what the texts of `Operation` are made of.
struct RecordScanner {
    /// A value before its type is known.
    indirect enum Node {
        /// A number, names of bits, or a symbol.
        case word(String)
        case text(String)
        case bytes([UInt8])
        case digest(UInt64, Int)
        case pointer([UInt8])
        case structure([(name: String, value: Node)])
        case list([Node])
    }

    private let bytes: [UInt8]
    private var position = 0
    private let line: Int
    private static let deepest = 8
    /// Most bytes that one value of a line may have.
    private static let mostBytes = 1 << 26
    /// Bytes to which runs in this line and all later ones may still expand.
    private(set) var room: Int

    init(_ line: Substring, number: Int, room: Int = mostBytes) {
        bytes = Array(line.utf8)
        self.line = number
        self.room = room
    }

    func error(_ message: String) -> RecordError { RecordError(line: line, message: message) }

    var isAtEnd: Bool { position >= bytes.count }
    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() { while next == 0x20 { position += 1 } }

    /// Takes a text that may come next.
    mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.utf8)
        guard bytes.count - position >= wanted.count, bytes[position..<(position + wanted.count)].elementsEqual(wanted)
        else {
            return false
        }
        position += wanted.count
        return true
    }

    mutating func expect(_ text: String) throws(RecordError) {
        guard take(text) else { throw error("'\(text)' is missing at column \(position + 1)") }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "|"),
            UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"):
            true
        default: false
        }
    }

    mutating func word() throws(RecordError) -> String {
        let start = position
        while let byte = next, RecordScanner.isWord(byte) { position += 1 }
        guard position > start else { throw error("a word is missing at column \(position + 1)") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    mutating func value(_ depth: Int = 0) throws(RecordError) -> Node {
        guard depth < RecordScanner.deepest else { throw error("too deep at column \(position + 1)") }
        switch next {
        case UInt8(ascii: "\""): return .text(try quoted())
        case UInt8(ascii: "<"):
            if let digest = try digest() { return digest }
            return .bytes(try data())
        case UInt8(ascii: "&"):
            position += 1
            return .pointer(try data())
        case UInt8(ascii: "{"): return .structure(try structure(depth))
        case UInt8(ascii: "["):
            position += 1
            var list: [Node] = []
            while !take("]") {
                if !list.isEmpty { try expect(", ") }
                list.append(try value(depth + 1))
            }
            return .list(list)
        default: return .word(try word())
        }
    }

    private mutating func structure(_ depth: Int) throws(RecordError) -> [(name: String, value: Node)] {
        position += 1
        var members: [(name: String, value: Node)] = []
        var names: Set<String> = []
        while !take("}") {
            if !members.isEmpty { try expect(", ") }
            let name = try word()
            guard CText.isName(name) else { throw error("'\(name.prefix(40))' is no name of a member") }
            guard names.insert(name).inserted else { throw error("'\(name)' stands twice in a structure") }
            try expect("=")
            members.append((name, try value(depth + 1)))
        }
        return members
    }

    private mutating func quoted() throws(RecordError) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = next else { break }
                position += 1
                if escaped == UInt8(ascii: "n") {
                    text.append(10)
                } else if escaped != UInt8(ascii: "x") {
                    text.append(escaped)
                } else if let value = pair() {
                    text.append(value)
                } else {
                    throw error("\\x takes two digits at column \(position + 1)")
                }
            default: text.append(byte)
            }
        }
        throw error("a text does not end")
    }

    private mutating func pair() -> UInt8? {
        guard position + 2 <= bytes.count,
            let value = UInt8(String(decoding: bytes[position..<(position + 2)], as: UTF8.self), radix: 16)
        else { return nil }
        position += 2
        return value
    }

    /// "<#1a2b*4096>"
    private mutating func digest() throws(RecordError) -> Node? {
        guard take("<#") else { return nil }
        guard let hash = UInt64(try word(), radix: 16), take("*"), let count = Int(try word()), count > 0, take(">")
        else {
            throw error("a digest is <#HASH*COUNT>")
        }
        return .digest(hash, count)
    }

    /// "<00*16 01 02>"
    private mutating func data() throws(RecordError) -> [UInt8] {
        try expect("<")
        var data: [UInt8] = []
        while !take(">") {
            if !data.isEmpty { try expect(" ") }
            guard let byte = pair() else { throw error("two digits of a byte are missing at column \(position + 1)") }
            guard take("*") else {
                data.append(byte)
                continue
            }
            let digits = try word()
            guard let count = Int(digits), count > 0, count <= RecordScanner.mostBytes - data.count else {
                throw error("so many bytes are too many: \(digits.prefix(20))")
            }
            guard count <= room else {
                throw error(
                    "the record stands for more than \(RecordParser.mostBytes >> 20) MiB of data up to this line")
            }
            room -= count
            data += [UInt8](repeating: byte, count: count)
        }
        return data
    }

    /// "<0.000012>" in nanoseconds; nil where no time comes next.
    mutating func time() -> UInt64? {
        let before = position
        guard take("<"), let text = try? word(), take(">") else {
            position = before
            return nil
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].utf8.count == 6, let seconds = UInt32(parts[0]), let micros = UInt32(parts[1])
        else {
            position = before
            return nil
        }
        return (UInt64(seconds) * 1_000_000 + UInt64(micros)) * 1000
    }

    /// What is left.
    var rest: String { String(decoding: bytes[position...], as: UTF8.self) }
}
