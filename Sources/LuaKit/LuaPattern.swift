/// Patterns of `string.find`.
public enum LuaPattern {
    /// Why a text is not a valid pattern, in the words of Lua (lstrlib.c); nil where it is valid. Lua itself finds some
    /// mistakes only where the subject makes it read that far.
    public static func problem(of pattern: String) -> String? {
        var rest = Array(pattern.utf8)[...]
        if rest.first == UInt8(ascii: "^") { rest.removeFirst() }
        var open: [Int] = [], closed: Set<Int> = [], captures = 0
        while let first = rest.popFirst() {
            switch first {
            case UInt8(ascii: "("):
                captures += 1
                guard captures <= mostCaptures else { return "too many captures" }
                open.append(captures)
            case UInt8(ascii: ")"):
                guard let last = open.popLast() else { return "invalid pattern capture" }
                closed.insert(last)
            case UInt8(ascii: "["):
                guard skipSet(&rest) else { return "malformed pattern (missing ']')" }
            case UInt8(ascii: "%"):
                guard let next = rest.popFirst() else { return "malformed pattern (ends with '%')" }
                switch next {
                case UInt8(ascii: "b"):
                    guard rest.count >= 2 else { return "missing arguments to '%b'" }
                    rest.removeFirst(2)
                case UInt8(ascii: "f"):
                    guard rest.popFirst() == UInt8(ascii: "[") else { return "missing '[' after '%f' in pattern" }
                    guard skipSet(&rest) else { return "malformed pattern (missing ']')" }
                case UInt8(ascii: "0")...UInt8(ascii: "9"):
                    let number = Int(next - UInt8(ascii: "0"))
                    guard closed.contains(number) else { return "invalid capture index %\(number)" }
                default: break
                }
            default: break
            }
        }
        return open.isEmpty ? nil : "unfinished capture"
    }

    /// LUA_MAXCAPTURES
    private static let mostCaptures = 32

    /// Moves past the bracket that ends a set; the opening bracket was read already. False where there is none.
    private static func skipSet(_ rest: inout ArraySlice<UInt8>) -> Bool {
        if rest.first == UInt8(ascii: "^") { rest.removeFirst() }
        // A closing bracket that comes first belongs to the set.
        var isFirst = true
        while let next = rest.popFirst() {
            if next == UInt8(ascii: "]"), !isFirst { return true }
            if next == UInt8(ascii: "%") { _ = rest.popFirst() }
            isFirst = false
        }
        return false
    }
}
