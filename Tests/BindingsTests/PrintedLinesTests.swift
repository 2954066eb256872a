import Testing

@testable import Bindings

/// What results keep of a script that prints much.
@Suite struct PrintedLinesTests {
    @Test func theBeginningIsKeptAndTheCutIsTold() {
        var printed = PrintedLines()
        #expect(printed.kept.isEmpty)
        printed.add(["first", ""])
        #expect(printed.kept == ["first", ""])
        let long = String(repeating: "x", count: PrintedLines.most)
        printed.add([long, "behind", "behind it"])
        printed.add(["last"])
        #expect(printed.kept.count == 4 && printed.kept.first == "first" && long.hasPrefix(printed.kept[2]))
        #expect(printed.kept.last == "... cut here: the rest (4 lines) is not kept")
        #expect(printed.kept.reduce(0) { $0 + $1.utf8.count } <= PrintedLines.most)
    }

    /// A line costs more than its text.
    @Test func linesOfNothingFillItToo() {
        var printed = PrintedLines()
        printed.add([String](repeating: "", count: PrintedLines.most / PrintedLines.lineCost + 1))
        #expect(printed.kept.count == PrintedLines.most / PrintedLines.lineCost + 1)
        #expect(printed.kept.last == "... cut here: the rest (1 line) is not kept")
    }

    @Test func casesHaveLogsOfTheirOwn() {
        var printed = PrintedLines()
        printed.add(["while it was loaded"])
        printed.end()
        printed.add(["in a case"])
        #expect(printed.kept.isEmpty)
    }
}
