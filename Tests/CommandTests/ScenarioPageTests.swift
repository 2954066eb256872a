import Testing

/// Documentation.docc/Scenarios.md: each scenario that comes with peerlab, and what it prints.
@Suite struct ScenarioPageTests {
    /// A command of the page, without "$ ", and the lines below it.
    struct Example: CustomTestStringConvertible {
        let command: String
        var lines: [Substring] = []

        var testDescription: String { command }
    }

    static let page =
        (try? Transcript.contents(TranscriptTests.root + "/Sources/Documentation.docc/Scenarios.md")) ?? ""

    /// Blocks of the page that begin with a command; a line that is not indented ends a block.
    static let examples: [Example] = {
        var examples: [Example] = [], isOpen = false
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("    $ ") {
                examples.append(Example(command: String(line.dropFirst(6))))
                isOpen = true
            } else if isOpen, line.hasPrefix("    ") {
                examples[examples.count - 1].lines.append(line.dropFirst(4))
            } else if isOpen, line.isEmpty {
                examples[examples.count - 1].lines.append(line)
            } else {
                isOpen = false
            }
        }
        return examples
    }()

    @Test(arguments: examples)
    func printsWhatThePageSays(_ example: Example) {
        let output = Shell.run(example.command).output.split(separator: "\n", omittingEmptySubsequences: false)
        let message = Transcript.mismatch(trimmed(output), example.lines)
        #expect(message == nil, "$ \(example.command)\n\(message ?? "")\nfound:\n\(output.joined(separator: "\n"))")
    }

    private func trimmed(_ lines: [Substring]) -> [Substring] {
        Array(lines.reversed().drop { $0.isEmpty }.reversed())
    }

    /// A scenario that comes with peerlab has a name like its file's, something to say, tags, and a section of the page.
    @Test func eachIsOnThePage() throws {
        let lines = Shell.run("ls scripts/scenarios/*.lua; grep -l cases scripts/reproducers/*.lua").output
        let files = lines.split(separator: "\n")
        #expect(files.count >= 26)
        for file in files {
            let name = file.split(separator: "/").last.map { $0.dropLast(4) } ?? ""
            #expect(ScenarioPageTests.page.contains("\n### \(name)\n"), "\(file)")
            let help = Shell.run("peerlab help \(name)").output
            #expect(help.hasPrefix("\(name): "), "\(file): \(help)")
            #expect(help.contains("\n  tags: "), "\(file) has no tags")
        }
    }
}
