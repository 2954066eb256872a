import Runner
import Testing

/// What the stdlib's checks say of what does not hold.
@Suite struct ExpectTests {
    private static let cut =
        ", its low 8 bits: of a steering tag mlx5 keeps 8 bits in direct mode; use a steering table, or a tag up to 0xff"

    @Test(arguments: [
        ("tag(0x34, 0x1234, \"tag\")", "tag: expected 0x1234, found 0x34\(cut)"),
        ("tag(nil, 7)", "expected 0x07, found nil"), ("tag(\"none\", 0x42)", "expected 0x42, found \"none\""),
        ("equal(0x34, 0x1234, \"tag\")", "tag: expected 4660 (0x1234), found 52 (0x34)\(cut)"),
        ("equal(0x35, 0x1234)", "expected 4660 (0x1234), found 53 (0x35)"),
        ("equal(0, 4096, \"bytes\")", "bytes: expected 4096 (0x1000), found 0 (0x0)"),
        ("equal(1, 2)", "expected 2, found 1"),
    ])
    func numbersAreShownSoThatTagsCanBeRead(_ check: String, _ message: String) throws {
        let one = try #require(try Outcome("require(\"expect\").\(check)").result?.cases.first)
        #expect(one.verdict == .fail)
        #expect(one.message?.hasSuffix("script.lua:1: \(message)") == true, "\(one.message ?? "")")
    }
}
