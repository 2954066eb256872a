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
        commandName: "report", abstract: "Write the text of a mail to a kernel list from a bundle.",
        discussion: """
            It says what, where, expected, seen, versions, and how to reproduce. Read it before you send it: what a machine \
            wrote about a bug is a draft.
            """)

    @ArgumentParser.Argument(help: "A bundle, as `peerlab bundle` writes it.") var file: String

    @OptionGroup(title: "Limits") var limits: ForeignLimits

    func run() throws {
        let text = try RecordText.text(of: file, limit: InputFile.Limit.bundle)
        try limits.hold("report", outputs: [])
        let bundle: Bundle
        do throws(RecordError) { bundle = try Bundle(parsing: text) } catch {
            throw ValidationError("\(file): \(error.text)")
        }
        guard let json = bundle.file("result.json"),
            let document = try? JSONDecoder().decode(Document.self, from: Data(json.utf8)),
            let result = document.results.first
        else { throw ValidationError("\(file): the bundle has no result") }
        // Further lines of the bundle's text are marked, so that they cannot add headers or sections to the mail.
        for line in Mail(bundle, result, file: file).lines { print(line, to: STDOUT_FILENO) }
    }

    private struct Document: Decodable {
        let results: [ScenarioResult]
    }
}

/// The text of the mail.
private struct Mail {
    private let bundle: Bundle
    private let result: ScenarioResult
    private let file: String
    private let record: Record?

    init(_ bundle: Bundle, _ result: ScenarioResult, file: String) {
        self.bundle = bundle
        self.result = result
        self.file = file
        record = bundle.file("record").flatMap { try? Record(parsing: $0) }
    }

    var lines: [String] {
        let sections = [what, place, expected, seen, calls, versions, reproduction]
        return Array(sections.filter { !$0.isEmpty }.joined(separator: [""]))
    }

    private var isSimulated: Bool { result.simulated }

    private var what: [String] {
        ["Subject: \(result.name)\(result.about.map { ": \($0)" } ?? "")", ""]
            + (isSimulated
                ? [
                    "NOTE: this ran on a simulated bench. It shows what a model does, and is no evidence about a kernel.",
                    "",
                ]
                : []) + ["What", ""] + [result.about ?? result.name]
    }

    private var place: [String] {
        var lines = ["Where", ""]
        lines.append("bench: \(result.bench) (\(result.bench_description))")
        if let concerns = result.concerns { lines.append("concerns: \(concerns)") }
        return lines
    }

    private var expected: [String] { result.expected.map { ["Expected", "", $0] } ?? [] }

    private var seen: [String] {
        var lines = ["Seen", ""]
        if let seen = result.seen { lines += [seen, ""] }
        for one in result.cases {
            lines.append("- \(one.name): \(one.verdict.word)")
            if let message = one.message { lines.append("    \(message)") }
            lines += (one.further ?? []).map { "    \($0.line)" }
            lines += (one.kernel?.shown ?? []).map { "    \($0)" }
            lines += one.log.map { "    \($0)" }
        }
        for reason in result.skipped { lines.append("- skipped: \(reason)") }
        let verdict = "the scenario: \(result.verdict.word)"
        return lines + ["", verdict] + Report.ending(result)
    }

    /// The calls that led to the script's failure, or to the last error.
    private var calls: [String] {
        guard let record else { return [] }
        if let end = record.failures.last?.index {
            let before = record.operations.filter { $0.index < end }.suffix(12)
            if before.isEmpty { return [] }
            return ["Calls up to the failure", ""] + before.map { "    " + cut(Record.line($0.operation)) }
        }
        let refused = record.operations.filter { $0.operation.errno != nil }
        guard let last = refused.last else { return [] }
        let before = record.operations.filter { $0.index <= last.index }.suffix(12)
        return ["Calls up to the last refusal", ""] + before.map { "    " + cut(Record.line($0.operation)) }
    }

    private func cut(_ line: String) -> String { line.utf8.count > 300 ? String(line.prefix(297)) + "..." : line }

    private var versions: [String] {
        var lines = ["Versions", ""]
        for (key, value) in record?.header ?? [] where key != "script" && key != "set" {
            lines.append("    \(key): \(value)")
        }
        for (key, value) in result.environment.sorted(by: { $0.key < $1.key }) where record?[key] == nil {
            lines.append("    \(key): \(value)")
        }
        if let redacted = bundle["redacted"] { lines.append("    redacted: \(redacted)") }
        return lines
    }

    private var reproduction: [String] {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        let bench = bundle["bench"]
        var words = bench.map { ["--bench=\($0)"] } ?? []
        if let tph = bundle["lab-tph"] { words.append("--lab-tph=\(tph)") }
        if bundle["lab-importer"] != nil { words.append("--lab-importer") }
        if let exporter = bundle["lab-exporter"] { words.append("--lab-exporter=\(exporter)") }
        if let nic = bundle["lab-nic"] { words.append("--lab-nic=\(nic)") }
        if let machine = bundle["lab-machine"] { words.append("--lab-machine=\(machine)") }
        if bench == "host" { words.append("--trust") }
        var lines = ["How to reproduce", "", "The bundle (\(name)) is attached; with peerlab:", ""]
        let bundle = [name.hasPrefix("-") ? "./\(name)" : name]
        lines.append("    " + ShellWord.line(["peerlab", "run"] + words + bundle))
        lines.append(
            "    " + ShellWord.line(["peerlab", "run"] + bundle)
                + "                   # on a model of the machine; nothing is touched")
        if record != nil {
            lines += ["", "Without peerlab: its record can be turned into one C file:", ""]
            lines.append("    " + ShellWord.line(["peerlab", "export", "--c", "reproducer.c"] + bundle))
        }
        return lines
    }
}
