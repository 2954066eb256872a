import Runner
import Testing

/// What the stdlib's checks say of what does not hold.
@Suite struct ExpectTests {
    private static let cut =
        ", its low 8 bits: of a steering tag mlx5 keeps 8 bits in direct mode; use a steering table, or a tag up to 0xff"

    @Test(arguments: [
        ("tag(0x34, 0x1234, \"tag\")", "tag: expected 0x1234, found 0x34\(cut)"),
        ("tag(nil, 7)", "expected 0x07, found nil"), ("tag(\"none\", 0x42)", "expected 0x42, found \"none\""),
        // Any numbers may be so, and are no tags.
        ("equal(0x34, 0x1234, \"tag\")", "tag: expected 4660 (0x1234), found 52 (0x34)"),
        ("equal(0x35, 0x1234)", "expected 4660 (0x1234), found 53 (0x35)"),
        ("equal(0, 4096, \"bytes\")", "bytes: expected 4096 (0x1000), found 0 (0x0)"),
        ("equal(1, 2)", "expected 2, found 1"),
    ])
    func numbersAreShownSoThatTagsCanBeRead(_ check: String, _ message: String) throws {
        let one = try #require(try Outcome("require(\"expect\").\(check)").result?.cases.first)
        #expect(one.verdict == .fail)
        #expect(one.message?.hasSuffix("script.lua:1: \(message)") == true, "\(one.message ?? "")")
    }

    private static let long = "(\"a\"):rep(70)"

    /// What differs is in the message, whatever it is.
    @Test(arguments: [
        ("equal(0.1 + 0.2, 0.3)", "expected 0.3, found 0.30000000000000004"),
        ("equal(1e300, 2e300)", "expected 2e+300, found 1e+300"), ("equal(0/0, 1)", "found "),
        ("equal(2^53, 9007199254740993)", "expected 9007199254740993, found 9007199254740992"),
        ("equal(1, \"1\")", "expected \"1\", found 1"),
        ("equal(\"a\\n\", \"a\\0\")", "expected \"a\\x00\", found \"a\\n\""),
        ("equal(\"\\27[2J\", \"x\\\"\\\\\")", "expected \"x\\\"\\\\\", found \"\\x1b[2J\""),
        (
            "equal(\(long) .. \"x\", \(long) .. \"y\")",
            "expected 71 bytes, found 71; from byte 70 (0x46) on expected ...\"aaaaaaaay\", found ...\"aaaaaaaax\""
        ),
        (
            "equal(\(long), \(long) .. \"y\")",
            "expected 71 bytes, found 70; from byte 70 (0x46) on expected ...\"aaaaaaaay\", found ...\"aaaaaaaa\""
        ),
        (
            "equal((\"\\0\"):rep(4096), 1)",
            "expected 1, found \"\(String(repeating: "\\x00", count: 48))\"... (4096 bytes)"
        ),
        ("bytes(\"ab\", \"ac\")", "byte 1 (0x1): expected 0x63, found 0x62"),
        ("bytes(\"ab\", \"a\")", "expected 1 bytes, found 2, which are the same as far as they go"),
        (
            "equal(setmetatable({}, { __tostring = function() return \"x\" end }), "
                + "setmetatable({}, { __tostring = function() return \"x\" end }))",
            "expected x, found x, another one that is shown alike"
        ),
    ])
    func whatDiffersIsShown(_ check: String, _ message: String) throws {
        let one = try #require(try Outcome("require(\"expect\").\(check)").result?.cases.first)
        #expect(one.verdict == .fail)
        #expect(one.message?.contains(message) == true, "\(one.message ?? "")")
    }

    /// A check that checks nothing is refused.
    @Test(arguments: [
        ("equal()", "expect.equal(found, expected, what): 0 are given"),
        ("equal(1)", "expect.equal(found, expected, what): 1 is given"),
        ("different(1)", "expect.different(found, other, what): 1 is given"),
        ("tag()", "expect.tag(found, expected, what): 0 are given"),
        ("bytes(nil, \"a\")", "expect.bytes(found, expected, what): 'found' is nil, not a string"),
        ("errno(\"EFOO\", error)", "no errno is called 'EFOO'"),
        ("errno(\"enoent\", error)", "no errno is called 'enoent'; did you mean 'ENOENT'?"),
        ("equals(1, 1)", "module expect has no 'equals'; did you mean 'equal'?"),
    ])
    func aWrongCheckIsRefused(_ check: String, _ message: String) throws {
        let one = try #require(try Outcome("require(\"expect\").\(check)").result?.cases.first)
        #expect(one.verdict == .fail)
        #expect(one.message?.contains("script.lua:1: \(message)") == true, "\(one.message ?? "")")
    }

    @Test func othersOfTheLibraryTellWhatTheyHaveNotToo() throws {
        let one = try #require(try Outcome("require(\"pattern\").bites(1)").result?.cases.first)
        #expect(one.message?.contains("module pattern has no 'bites'") == true, "\(one.message ?? "")")
    }

    /// nil is equal to nil where both are said.
    @Test func whatIsGivenMayBeNil() throws {
        let text = "local e = require \"expect\" e.equal(nil, nil) e.tag(nil, nil) e.errno(\"ENOTCONN\", case)"
        let one = try #require(try Outcome(text).result?.cases.first)
        #expect(one.message?.contains("undeclared variable 'case'") == true, "\(one.message ?? "")")
    }

    /// A skip inside of a check is a skip.
    @Test(arguments: ["e.error(\"\", t.skip, t, \"not here\")", "e.errno(\"EINVAL\", t.skip, t, \"not here\")"])
    func aSkipStaysASkip(_ check: String) throws {
        let text = "local e = require \"expect\" return { cases = { { \"one\", function(t) \(check) end } } }"
        let one = try #require(try Outcome(text).result?.cases.first)
        #expect(one.verdict == .skip && one.message == "not here")
    }
}
