import Glibc
import Testing

/// The cookbook's pages (Sources/Documentation.docc/Cookbook): every block of one is run, in a folder of its own. A block "lua" is
/// written to the file that its first line names; a block "shell" is a transcript, in which "[N]" is an exit code other than 0.
@Suite struct CookbookTests {
    private static let folder = TranscriptTests.root + "/Sources/Documentation.docc/Cookbook"

    private static let pages: [String] = {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".md"), name != "Cookbook.md" { names.append(name) }
        }
        return names.sorted()
    }()

    private struct Block {
        let language: Substring
        var lines: [Substring] = []
    }

    private static func blocks(_ text: String) -> [Block] {
        var blocks: [Block] = []
        var isOpen = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                if !isOpen { blocks.append(Block(language: line.dropFirst(3))) }
                isOpen.toggle()
            } else if isOpen {
                blocks[blocks.count - 1].lines.append(line)
            }
        }
        return blocks
    }

    @Test func thereAreEightPages() { #expect(CookbookTests.pages.count == 8) }

    @Test(arguments: pages)
    func everyBlockRuns(_ page: String) throws {
        let blocks = CookbookTests.blocks(try Transcript.contents(CookbookTests.folder + "/" + page))
        try #require(blocks.contains { $0.language == "shell" }, "\(page) runs nothing")
        var template = Array("/tmp/peerlab-cookbook.XXXXXX".utf8CString)
        let place = String(cString: try #require(mkdtemp(&template)))
        defer { _ = Shell.run("rm -r '\(place)'") }
        try #require(symlink(TranscriptTests.root + "/scripts", place + "/scripts") == 0)
        for block in blocks {
            switch block.language {
            case "lua":
                let name = try #require(block.lines.first.map { $0.drop { $0 == "-" || $0 == " " } })
                try #require(name.hasSuffix(".lua") && !name.contains("/"), "\(page): the first line names no file")
                let file = try #require(fopen(place + "/" + name, "w"))
                fputs(block.lines.joined(separator: "\n") + "\n", file)
                fclose(file)
            case "shell":
                for (command, expected) in Transcript.commands(block.lines) {
                    let run = Shell.run("cd '\(place)' && \(command)", results: TranscriptTests.results + "/cookbook")
                    let output = run.output + (run.status == 0 ? "" : "[\(run.status)]")
                    let message = Transcript.mismatch(
                        output.split(separator: "\n", omittingEmptySubsequences: false).droppingLastEmpty, expected)
                    #expect(message == nil, "\(page): $ \(command)\n\(message ?? "")\nfound:\n\(output)")
                }
            default: Issue.record("\(page) has a block of '\(block.language)', which nothing runs")
            }
        }
    }
}

extension [Substring] {
    fileprivate var droppingLastEmpty: [Substring] { last?.isEmpty == true ? Array(dropLast()) : self }
}
