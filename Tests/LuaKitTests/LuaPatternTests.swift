import LuaKit
import Testing

/// What Lua takes for a pattern, and what it says of a text that is none.
@Suite struct LuaPatternTests {
    static let patterns: [(String, String?)] = [
        ("", nil), ("WARNING: .* at", nil), ("[]]", nil), ("[^]x]", nil), ("[%]]+", nil), ("%b()", nil),
        ("%f[%w]x", nil),
        ("(a)(b%1)", nil), ("()", nil), ("^^$", nil), ("%%", nil), ("[a-]", nil),
        ("[", "malformed pattern (missing ']')"), ("abc[", "malformed pattern (missing ']')"),
        ("[^", "malformed pattern (missing ']')"), ("[]", "malformed pattern (missing ']')"),
        ("x%", "malformed pattern (ends with '%')"), ("%b(", "missing arguments to '%b'"),
        ("%fx", "missing '[' after '%f' in pattern"), ("(a", "unfinished capture"), ("a)", "invalid pattern capture"),
        ("%1", "invalid capture index %1"), ("(%1)", "invalid capture index %1"),
        (String(repeating: "()", count: 33), "too many captures"),
    ]

    @Test(arguments: patterns)
    func isToldAsLuaWould(_ pattern: String, _ problem: String?) { #expect(LuaPattern.problem(of: pattern) == problem) }
}
