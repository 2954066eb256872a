/// The words and numbers of C that this module wrote, outside of strings and comments.
struct CTokens: Sequence, IteratorProtocol {
    enum Kind { case word, number }

    struct Token {
        let kind: Kind
        let range: Range<String.Index>
        /// Of a number: whether only a constant may stand there, as in an array's size or a static variable.
        let isFixed: Bool
        /// Of a word: whether it is called.
        let isCall: Bool
    }

    private let code: String
    private let bytes: String.UTF8View
    private var index: String.Index
    private var brackets = 0
    private var isFixedLine = false

    init(_ code: String) {
        self.code = code
        bytes = code.utf8
        index = code.startIndex
        isFixedLine = isFixed(lineAt: index)
    }

    private func isFixed(lineAt start: String.Index) -> Bool {
        let line = code[start...].prefix { $0 != "\n" }
        return line.contains("static ") || line.contains("struct {")
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: true
        default: false
        }
    }

    mutating func next() -> Token? {
        while index < bytes.endIndex {
            let start = index
            let byte = bytes[index]
            index = bytes.index(after: index)
            switch byte {
            case UInt8(ascii: "\n"): isFixedLine = isFixed(lineAt: index)
            case UInt8(ascii: "["): brackets += 1
            case UInt8(ascii: "]"): brackets -= 1
            case UInt8(ascii: "\""): skipString()
            case UInt8(ascii: "/") where index < bytes.endIndex && bytes[index] == UInt8(ascii: "*"): skipComment()
            case _ where CTokens.isWord(byte):
                while index < bytes.endIndex, CTokens.isWord(bytes[index]) { index = bytes.index(after: index) }
                let isNumber = (0x30...0x39).contains(byte)
                let isCall = index < bytes.endIndex && bytes[index] == UInt8(ascii: "(")
                return Token(
                    kind: isNumber ? .number : .word, range: start..<index, isFixed: isFixedLine || brackets > 0,
                    isCall: isCall)
            default: break
            }
        }
        return nil
    }

    private mutating func skipString() {
        while index < bytes.endIndex {
            let byte = bytes[index]
            index = bytes.index(after: index)
            if byte == UInt8(ascii: "\\"), index < bytes.endIndex { index = bytes.index(after: index) }
            if byte == UInt8(ascii: "\"") { return }
        }
    }

    private mutating func skipComment() {
        guard let end = code[index...].firstRange(of: "*/") else { return index = bytes.endIndex }
        index = end.upperBound
    }

    /// The functions that are called in C that this module wrote.
    static func calls(_ lines: [String]) -> Set<String> {
        let code = lines.joined(separator: "\n")
        return Set(CTokens(code).lazy.filter(\.isCall).map { String(code[$0.range]) })
    }
}
