import Commands
import Kernel
import Records
import Runner

/// The text of a mail to a kernel list: headers, and sections of lines of at most 72 characters. The C program keeps its own
/// lines.
struct Mail {
    /// A bundle's; nil of a record alone.
    var bundle: Bundle?
    var result: ScenarioResult?
    let record: Record?
    /// The file that it is made of.
    let file: String
    /// Of the kernel's tree; nil where none was given.
    var maintainers: Maintainers?

    var lines: [String] {
        let sections = [what, place, expected, seen, calls, versions, modules, reproduction, program]
        return headers + [""] + note + Array(sections.filter { !$0.isEmpty }.joined(separator: [""]))
    }

    private var isSimulated: Bool { result?.simulated ?? record?["bench"].map { $0.hasPrefix("sim ") } ?? false }

    /// The last operation up to the failure, or the last that was refused.
    private var failing: Operation? { told.last }

    // MARK: Headers

    private var headers: [String] {
        let addressees = maintainers?.addressees(of: paths)
        var lines = Wrapped.lines(
            "\(tag) \(subsystem.map { $0.prefix + ": " } ?? "")\(title)", first: "Subject: ", rest: " ")
        for (name, list) in [("To", addressees?.to), ("Cc", addressees?.cc)] {
            guard let list, !list.isEmpty else { continue }
            for (index, address) in list.enumerated() {
                lines.append((index == 0 ? "\(name): " : "    ") + address + (index + 1 < list.count ? "," : ""))
            }
        }
        return lines.map { PrintableText.line($0) }
    }

    private var tag: String {
        let bugs = verdicts.filter(\.isBug)
        let isFixed = !bugs.isEmpty && bugs.allSatisfy { $0.word == "fixed" }
        // Of a record alone, whoever made it says that its answers are wrong.
        let isSeen =
            result.map { [.fail, .expectedFailure].contains($0.verdict) || bugs.contains { $0.word == "bug present" } }
            ?? true
        return "[\(isFixed ? "FIXED" : isSeen ? "BUG" : "NO BUG SEEN")\(isSimulated ? ", simulated" : "")]"
    }

    private var title: String {
        if let result { return result.about ?? result.name }
        guard let failing else { return "a record of calls" }
        return "\(failing.name) ends with \(failing.errno?.name ?? "success")"
    }

    private var subsystem: Subsystem? { paths.first.map { Subsystem(path: $0) } }

    /// Files of the kernel's tree: those that the reproducer names, then those of the calls, the failing one first.
    private var paths: [String] {
        let named = Subsystem.paths(in: result?.concerns ?? "")
        let asked = told.reversed().compactMap { Subsystem($0)?.path }
        return (named.isEmpty ? asked : named).reduce(into: []) { if !$0.contains($1), $0.count < 4 { $0.append($1) } }
    }

    // MARK: Sections

    private var note: [String] {
        guard isSimulated else { return [] }
        return Wrapped.lines(
            "NOTE: this ran on a simulated bench. It shows what a model does, and is no evidence about a kernel.",
            rest: "") + [""]
    }

    private var what: [String] { ["What", ""] + Wrapped.lines(title) }

    private var place: [String] {
        var lines = ["Where", ""]
        if let result { lines += Wrapped.lines("bench: \(result.bench) (\(result.bench_description))", rest: "    ") }
        if result == nil, let bench = record?["bench"] { lines += Wrapped.lines("bench: \(bench)", rest: "    ") }
        if let concerns = result?.concerns { lines += Wrapped.lines("concerns: \(concerns)", rest: "    ") }
        return lines.count > 2 ? lines : []
    }

    private var expected: [String] { result?.expected.map { ["Expected", ""] + Wrapped.lines($0) } ?? [] }

    /// A case, and what a reader is told of it.
    private struct CaseVerdict {
        let name: String
        let isBug: Bool
        let word: String
    }

    /// A case about a known bug passes while the kernel has the bug (`reproducing.bug`).
    private var verdicts: [CaseVerdict] {
        (result?.cases ?? []).map { one in
            guard one.name.hasPrefix("BUG") else {
                return CaseVerdict(name: one.name, isBug: false, word: one.verdict.word)
            }
            let name = String(one.name.dropFirst(3).drop { $0 == ":" || $0 == " " })
            let isGone = one.message?.contains("the bug is gone") ?? false
            let word =
                switch one.verdict {
                case .pass, .unexpectedPass: "bug present"
                case .fail, .expectedFailure: isGone ? "fixed" : "neither the bug nor a right answer"
                case .skip, .interrupted, .notRun, .notSelected: "not tried: \(one.verdict.word)"
                }
            return CaseVerdict(name: name, isBug: true, word: word)
        }
    }

    private var seen: [String] {
        guard let result else { return [] }
        var lines = ["Seen", ""]
        if let seen = result.seen { lines += Wrapped.lines(seen) + [""] }
        for (one, verdict) in zip(result.cases, verdicts) {
            lines += Wrapped.lines("\(verdict.name): \(verdict.word)", first: "- ")
            var details = (one.message.map { [$0] } ?? []) + (one.further ?? []).map(\.line)
            details += (one.kernel?.shown ?? []) + one.log
            for detail in details.flatMap({ PrintableText.lines($0) }) { lines += Wrapped.lines(detail, first: "    ") }
        }
        for reason in result.skipped { lines += Wrapped.lines("skipped: \(reason)", first: "- ") }
        if !verdicts.contains(where: \.isBug) { lines += ["", "the scenario: \(result.verdict.word)"] }
        return lines + Report.ending(result).flatMap { Wrapped.lines($0.drop { $0 == " " }.description) }
    }

    /// Most calls that are explained.
    private static let mostCalls = 12

    /// The calls up to the script's failure, or to the last error; of a record that was made smaller, all.
    private var told: [Operation] {
        guard let record else { return [] }
        let all = record.operations
        if let end = record.failures.last?.index {
            return all.filter { $0.index < end }.suffix(Mail.mostCalls).map(\.operation)
        }
        let last = all.last { $0.operation.errno != nil }?.index ?? all.last?.index ?? 0
        return all.filter { $0.index <= last }.suffix(Mail.mostCalls).map(\.operation)
    }

    private var calls: [String] {
        guard !told.isEmpty else { return [] }
        var lines = ["Calls up to the failure", ""]
        for (index, operation) in told.enumerated() {
            lines += Wrapped.lines(operation.sentence, first: "\(index + 1). ", rest: "   ")
            lines += Wrapped.lines(cut(Record.line(operation)), first: "       ", rest: "           ")
        }
        return lines
    }

    /// Without the time that it took, and not too long.
    private func cut(_ line: String) -> String {
        let line = line.lastIndex(of: "<").map { line[..<$0].dropLast() } ?? line[...]
        return line.utf8.count > 400 ? line.prefix(397) + "..." : String(line)
    }

    private var versions: [String] {
        var lines = ["Versions", ""]
        for (key, value) in record?.header ?? [] where key != "script" && key != "set" && key != "failure" {
            lines += Wrapped.lines("\(key): \(value)", first: "    ", rest: "        ")
        }
        for (key, value) in result?.environment.sorted(by: { $0.key < $1.key }) ?? [] where record?[key] == nil {
            lines += Wrapped.lines("\(key): \(value)", first: "    ", rest: "        ")
        }
        if let redacted = bundle?["redacted"] { lines += Wrapped.lines("redacted: \(redacted)", first: "    ") }
        return lines
    }

    /// What answered some calls, and is in no kernel.
    private var modules: [String] {
        var lines: [String] = []
        let operations = record?.operations.map(\.operation) ?? []
        if operations.contains(where: { $0.request?.file == .importer }) {
            lines += Wrapped.lines(
                "edu_importer, which attaches QEMU's edu device to a dma-buf and calls dma-buf's functions as a driver does",
                first: "- ")
        }
        if let revision = bundle?["lab-tph"] {
            lines += Wrapped.lines("vfio_tph, which answers DMA_BUF_TPH as \(revision) of its series does", first: "- ")
        }
        guard !lines.isEmpty else { return [] }
        return ["Modules that are in no kernel", ""] + Wrapped.lines("Of peerlab's lab (scripts/lab):") + lines
    }

    private var reproduction: [String] {
        guard let bundle else { return [] }
        let name = file.split(separator: "/").last.map(String.init) ?? file
        let bench = bundle["bench"]
        var words = bench.map { ["--bench=\($0)"] } ?? []
        if let tph = bundle["lab-tph"] { words.append("--lab-tph=\(tph)") }
        if bundle["lab-importer"] != nil { words.append("--lab-importer") }
        if let exporter = bundle["lab-exporter"] { words.append("--lab-exporter=\(exporter)") }
        if let nic = bundle["lab-nic"] { words.append("--lab-nic=\(nic)") }
        if let machine = bundle["lab-machine"] { words.append("--lab-machine=\(machine)") }
        if bench == "host" { words.append("--trust") }
        let path = [name.hasPrefix("-") ? "./\(name)" : name]
        return ["How to reproduce", ""] + Wrapped.lines("The bundle (\(name)) is attached; with peerlab:") + [
            "", "    " + ShellWord.line(["peerlab", "run"] + words + path),
            "    " + ShellWord.line(["peerlab", "run"] + path) + "  # on a model; nothing is touched",
        ]
    }

    // MARK: The program

    /// Most lines of C in the mail itself.
    private static let mostOfProgram = 600

    private var program: [String] {
        guard let record else { return [] }
        let name = file.split(separator: "/").last.map(String.init) ?? file
        let text = CExport(record).text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard text.count <= Mail.mostOfProgram else {
            let path = name.hasPrefix("-") ? "./\(name)" : name
            return ["Without peerlab", ""]
                + Wrapped.lines(
                    "The calls as one C file have \(text.count) lines: make the record smaller first (peerlab minimise), "
                        + "or attach the file that this writes:")
                + ["", "    " + ShellWord.line(["peerlab", "export", "--c", "reproducer.c", path])]
        }
        return ["Without peerlab", ""] + Wrapped.lines("The same calls as one C file, which needs nothing of ours:") + [
            ""
        ]
            + text
    }
}
