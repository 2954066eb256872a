import ArgumentParser
import Commands
import FoundationEssentials
import Glibc
import Kernel
import Records
import Runner

/// `peerlab report`
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "Write a mail to a kernel list from a bundle, or from a record.",
        discussion: """
            It says what, where, expected, seen, the calls up to the failure in a sentence each, versions, and how to reproduce, \
            and has the C program where that is short: of a record that was not made smaller, it tells of the first case with a \
            wrong answer. The subject has [BUG] only where an answer was judged wrong. With a kernel's tree it says who gets the \
            mail. Read it before you send it: what a machine wrote about a bug is a draft.
            """)

    @Option(
        name: .customLong("kernel-tree"),
        help: ArgumentHelp("Take To and Cc from the MAINTAINERS of this tree of a kernel.", valueName: "DIR"))
    var kernelTree: String?

    @ArgumentParser.Argument(help: "A bundle, as `peerlab bundle` writes it, or a record.") var file: String

    @OptionGroup(title: "Limits") var limits: ForeignLimits

    func run() throws {
        let text = try RecordText.text(of: file)
        let maintainers = try kernelTree.map { tree in
            try RecordText.text(of: tree + "/MAINTAINERS", limit: Maintainers.longest)
        }
        try limits.hold("report", outputs: [])
        var mail = try Bundle.isBundle(text) ? mail(bundle: text) : mail(record: text)
        mail.maintainers = maintainers.map { Maintainers(parsing: $0) }
        // Further lines of the bundle's text are marked, so that they cannot add headers or sections to the mail.
        for line in mail.lines { print(line, to: STDOUT_FILENO) }
    }

    private func mail(record text: String) throws -> Mail {
        Mail(record: try RecordText.record(text, file), file: file)
    }

    private func mail(bundle text: String) throws -> Mail {
        guard text.utf8.count <= InputFile.Limit.bundle else {
            throw ValidationError("\(file) is too long for a bundle")
        }
        let bundle: Bundle
        do throws(RecordError) { bundle = try Bundle(parsing: text) } catch {
            throw ValidationError("\(file): \(error.text)")
        }
        guard let json = bundle.file("result.json"),
            let document = try? JSONDecoder().decode(Document.self, from: Data(json.utf8)),
            let result = document.results.first
        else { throw ValidationError("\(file): the bundle has no result") }
        let record = bundle.file("record").flatMap { try? Record(parsing: $0) }
        return Mail(bundle: bundle, result: result, record: record, file: file)
    }

    private struct Document: Decodable {
        let results: [ScenarioResult]
    }
}
