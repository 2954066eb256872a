import Kernel
import Testing

/// What a terminal gets to see of text that others wrote.
@Suite struct PrintableTextTests {
    @Test(arguments: [
        ("plain, with\ttab", "plain, with\ttab"), ("\u{1b}[2J\u{7}", "\\x1b[2J\\x07"), ("\u{7f}\u{9b}", "\\x7f\\u{9b}"),
        ("a\nb\r", "a\\nb\\r"), ("\u{202e}txt\u{2066}\u{200f}\u{61c}", "\\u{202e}txt\\u{2066}\\u{200f}\\u{61c}"),
        ("a\u{200b}b\u{feff}\u{2028}\u{2029}\u{2060}", "a\\u{200b}b\\u{feff}\\u{2028}\\u{2029}\\u{2060}"),
        ("\u{e0041}\u{3164}\u{ad}\u{fffe}", "\\u{e0041}\\u{3164}\\u{ad}\\u{fffe}"),
        ("gr\u{fc}\u{df}e \u{4f60} \u{1f600}", "gr\u{fc}\u{df}e \u{4f60} \u{1f600}"),
    ])
    func whatIsNotSeenIsShownAsAnEscape(_ text: String, _ shown: String) {
        #expect(PrintableText.line(text) == shown)
        // What was shown once is shown the same again.
        #expect(PrintableText.line(shown) == shown)
    }

    @Test func aByteThatIsNoUTF8IsNoControlCharacter() {
        #expect(
            PrintableText.line(String(decoding: [0x61, 0x9b, 0x32, 0x4a] as [UInt8], as: UTF8.self)) == "a\u{fffd}2J")
    }

    @Test func aLineThatIsTooLongIsCutWithAMark() {
        let line = PrintableText.line(String(repeating: "x", count: 100_000))
        #expect(line == String(repeating: "x", count: PrintableText.longest - 192) + "... [92000 more bytes]")
        #expect(PrintableText.line("        | " + line) == "        | " + line)
        let controls = PrintableText.line(String(repeating: "\u{1b}", count: 100_000))
        #expect(controls.utf8.count < PrintableText.longest + 100)
        let marks = PrintableText.line("a" + String(repeating: "\u{301}", count: 100_000))
        #expect(marks.utf8.count < PrintableText.longest + 100)
    }

    @Test(arguments: [
        ("", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\r\nb", ["a", "b"]), ("\n\n", ["", ""]),
        ("a\u{2028}b", ["a\\u{2028}b"]),
    ])
    func onlyALineFeedEndsALine(_ text: String, _ lines: [String]) { #expect(PrintableText.lines(text) == lines) }

    @Test(arguments: [
        ("sim:tph-v11", "sim:tph-v11"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("$(id)", "'$(id)'"),
        ("a;b", "'a;b'"), ("~", "'~'"), ("a\nb", "'a\nb'"), ("\u{fc}", "'\u{fc}'"),
        // A combining mark makes another character of the quote before it, but not another byte.
        ("'\u{301};id", "''\\''\u{301};id'"),
    ])
    func aWordReachesAShellAsItIs(_ word: String, _ quoted: String) { #expect(ShellWord.quoted(word) == quoted) }
}
