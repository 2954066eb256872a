/// A token of Lua 5.4.
enum Token: Equatable {
    case end
    case name(String)
    /// A reserved word, or a symbol.
    case symbol(Symbol)
    case integer(Int64)
    case float(Double)
    /// A string's bytes, its escapes resolved.
    case string([UInt8])

    /// As messages show it.
    var text: String {
        switch self {
        case .end: "the end of the file"
        case .name(let name): "'\(name)'"
        case .symbol(let symbol): "'\(symbol.rawValue)'"
        case .integer(let value): "'\(value)'"
        case .float(let value): "'\(value)'"
        case .string: "a string"
        }
    }
}

/// Reserved words and symbols.
enum Symbol: String, CaseIterable {
    case and, `break`, `do`, `else`, elseif, end, `false`, `for`, function, goto, `if`, `in`, local, `nil`, not, or,
        `repeat`, `return`, then, `true`, until, `while`
    case plus = "+"
    case minus = "-"
    case times = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "^"
    case length = "#"
    case bitAnd = "&"
    case tilde = "~"
    case bitOr = "|"
    case shiftLeft = "<<"
    case shiftRight = ">>"
    case equal = "=="
    case different = "~="
    case lessEqual = "<="
    case greaterEqual = ">="
    case less = "<"
    case greater = ">"
    case assign = "="
    case leftParenthesis = "("
    case rightParenthesis = ")"
    case leftBrace = "{"
    case rightBrace = "}"
    case leftBracket = "["
    case rightBracket = "]"
    case labelMark = "::"
    case semicolon = ";"
    case colon = ":"
    case comma = ","
    case dot = "."
    case concat = ".."
    case varargs = "..."

    /// The reserved words.
    static let words = Dictionary(
        uniqueKeysWithValues: allCases.filter { $0.rawValue.utf8.allSatisfy { (0x61...0x7a).contains($0) } }
            .map { ($0.rawValue, $0) })

    /// The symbols by their bytes, the longest first.
    static let symbols = allCases.map { (bytes: Array($0.rawValue.utf8), symbol: $0) }
        .filter { !(0x61...0x7a).contains($0.bytes[0]) }.sorted { $0.bytes.count > $1.bytes.count }
    /// The symbols that begin with a byte, the longest first.
    static let byFirst = Dictionary(grouping: symbols) { $0.bytes[0] }
}

/// Why a file has no syntax tree.
struct SyntaxError: Error {
    let place: Place
    let message: String
}
