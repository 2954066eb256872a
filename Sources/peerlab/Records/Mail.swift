import Commands
import Kernel
import LuaKit
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
    /// What of the record is told: of one that was made smaller all, otherwise the case in which the first answer is wrong.
    private let shown: Record?
    /// The answer that is wrong; nil where the record tells none.
    private let decision: Record.Decision?
    /// The lines of C; nil without a record.
    private let program: [String]?

    init(bundle: Bundle? = nil, result: ScenarioResult? = nil, record: Record?, file: String) {
        (self.bundle, self.result, self.record, self.file) = (bundle, result, record, file)
        let wrong = record?.decisions.first { $0.place != nil }
        shown = wrong?.place.flatMap { record?["failure"] == nil ? record?.excerpt(to: $0) : nil } ?? record
        decision = shown?.decisions.first { $0.place != nil }
        program = shown.map { shown in
            CExport(shown, inMail: true).text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        }
    }

    var lines: [String] {
        let sections = [place, expected, seen, calls, versions, modules, reproduction, withoutPeerlab]
        return headers + [""] + note + Array(sections.filter { !$0.isEmpty }.joined(separator: [""]))
    }

    private var isSimulated: Bool { result?.simulated ?? record?["bench"].map { $0.hasPrefix("sim ") } ?? false }

    /// The last operation up to the failure, or the last that was refused.
    private var failing: Operation? { told.last?.operation }

    /// What the scenario says of itself. Of an answer that it does not judge it says nothing.
    private func scenario(_ key: String, _ result: String?) -> String? {
        result ?? (isOfUnjudged ? nil : record?.scenario(key))
    }

    /// Whether a scenario's record was made smaller to an answer that the scenario does not call wrong.
    private var isOfUnjudged: Bool {
        guard let record else { return false }
        return record["failure"] != nil && record.isOfScenario && !record.isJudged
    }

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

    private var tag: String { "[\(state.rawValue)\(isSimulated ? ", simulated" : "")]" }

    /// What the run showed.
    private enum State: String {
        case bug = "BUG"
        case fixed = "FIXED"
        case unseen = "NO BUG SEEN"
        /// It failed, and nothing says that the kernel is to blame.
        case undecided = "NO VERDICT"
    }

    private var state: State {
        guard let result else { return stateOfRecord }
        let bugs = verdicts.filter(\.isBug)
        if !bugs.isEmpty, bugs.allSatisfy({ $0.word == "fixed" }) { return .fixed }
        if bugs.contains(where: { $0.word == "bug present" }) || result.cases.contains(where: isJudged) { return .bug }
        return [.fail, .expectedFailure].contains(result.verdict) ? .undecided : .unseen
    }

    /// Whether a case failed by an answer of the kernel's. A plain script does not say which calls must succeed.
    private func isJudged(_ one: CaseResult) -> Bool {
        guard [.fail, .expectedFailure].contains(one.verdict) else { return false }
        switch one.error?.kind {
        case .expectation, .kernelLog, .kernelDied, .guestHung: return true
        case .kernel: return one.name != result?.name
        default: return false
        }
    }

    /// Of a plain script's record that was made smaller, whoever chose its failure says that it is wrong. Of others the script
    /// says so.
    private var stateOfRecord: State {
        guard let record else { return .unseen }
        if isOfUnjudged { return .undecided }
        if record["failure"] != nil || record.isJudged { return .bug }
        if record.hasFixedBug { return .fixed }
        return record.failures.isEmpty ? .unseen : .undecided
    }

    private var title: String {
        if let about = scenario("about", result?.about) ?? result?.name { return about }
        guard let failing else { return "a record of calls" }
        return "\(failing.name) ends with \(failing.errno?.name ?? "success")"
    }

    private var subsystem: Subsystem? { paths.first.map { Subsystem(path: $0) } }

    /// Files of the kernel's tree: those that the reproducer names, then those of the calls, the failing one first.
    private var paths: [String] {
        let named = Subsystem.paths(in: scenario("concerns", result?.concerns) ?? "")
        let asked = told.reversed().compactMap { Subsystem($0.operation)?.path }
        return (named.isEmpty ? asked : named).reduce(into: []) { if !$0.contains($1), $0.count < 4 { $0.append($1) } }
    }

    // MARK: Sections

    private var note: [String] {
        guard isSimulated else { return [] }
        return Wrapped.lines(
            "NOTE: this ran on a simulated bench. It shows what a model does, and is no evidence about a kernel.",
            rest: "") + [""]
    }

    private var place: [String] {
        var lines = ["Where", ""]
        if let result { lines += Wrapped.lines("bench: \(result.bench) (\(result.bench_description))", rest: "    ") }
        if result == nil, let bench = record?["bench"] { lines += Wrapped.lines("bench: \(bench)", rest: "    ") }
        if let concerns = scenario("concerns", result?.concerns) {
            lines += Wrapped.lines("concerns: \(concerns)", rest: "    ")
        }
        return lines.count > 2 ? lines : []
    }

    private var expected: [String] {
        let wrong = state == .bug ? decision : nil
        let text = scenario("expected", result?.expected) ?? wrong.map { "\(subject($0)): \($0.judgement.right)" }
        return text.map { ["Expected", ""] + Wrapped.lines($0) } ?? []
    }

    /// Of what a judgement is.
    private func subject(_ decision: Record.Decision) -> String {
        decision.judgement.what.isEmpty ? failing?.name ?? "the answer" : decision.judgement.what
    }

    private func answer(of call: Operation) -> String { "\(call.name): \(call.errno?.name ?? "success")" }

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
            let isGone = one.error?.kind == .fixed
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
        var lines = ["Seen", ""]
        if state == .undecided {
            let text =
                isOfUnjudged
                ? "The script does not judge this answer: it was chosen when the record was made smaller."
                : "The script failed, and it judges no answer of the kernel wrong."
            lines += Wrapped.lines(text, rest: "") + [""]
        }
        // What the scenario says is of kernels that have the bug.
        if state == .bug, let seen = scenario("seen", result?.seen) { lines += Wrapped.lines(seen) + [""] }
        guard let result else {
            if state != .bug {
                for (_, failure) in record?.failures ?? [] { lines += Wrapped.lines(failure.message, first: "- ") }
                if isOfUnjudged, let failing {
                    lines += Wrapped.lines(answer(of: failing), first: "- ")
                } else if state == .unseen {
                    lines += Wrapped.lines("the record says of no answer that it is wrong", first: "- ")
                }
            } else if let decision {
                let text =
                    "\(subject(decision)): \(decision.judgement.found); as a fixed kernel would, \(decision.judgement.right): no"
                lines += Wrapped.lines("bug present: \(text)", first: "- ")
            } else if let failing {
                lines += Wrapped.lines(answer(of: failing), first: "- ")
            }
            return lines.count > 2 ? lines : []
        }
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

    /// A call with its number, which is that of the program in C.
    private typealias Told = (number: Int, operation: Operation)
    /// Most calls of which all are told, and most that are told of those that the last one needs.
    private static let mostCalls = 20, mostNeeded = 40

    /// The calls up to the wrong answer, the script's failure, or the last error. Of many, those that the last one needs.
    private var told: [Told] {
        guard let shown else { return [] }
        let all = shown.operations
        let ends = [
            decision?.operation, shown.failures.last.map { $0.index - 1 },
            all.last { $0.operation.errno != nil }?.index,
        ]
        let last = ends.lazy.compactMap { $0 }.first ?? all.last?.index ?? 0
        let before = all.enumerated().filter { $0.element.index <= last }.map { ($0.offset + 1, $0.element.operation) }
        guard before.count > Mail.mostCalls, let place = all.last(where: { $0.index <= last }) else { return before }
        let needed = shown.numbersOfNeeded(by: place.index)
        return needed.count > 1 ? before.filter { needed.contains($0.0) } : before.suffix(Mail.mostCalls)
    }

    private var calls: [String] {
        // Where nothing is wrong there is no call to lead to.
        guard !told.isEmpty, state != .unseen else { return [] }
        let title = state == .bug ? "Calls up to the failure" : "Calls"
        var lines = [title + (isInline ? ", with their numbers in the program" : ""), ""]
        if let last = told.last, last.number > told.count {
            lines += Wrapped.lines("Of \(last.number), those that the last one depends on:", rest: "") + [""]
        }
        let rest = told.count - Mail.mostNeeded
        for (place, (number, operation)) in told.enumerated() {
            if rest > 0, (0..<rest).contains(place - Mail.mostNeeded / 2) {
                if place == Mail.mostNeeded / 2 { lines.append("   ... \(rest) more ...") }
                continue
            }
            let first = "\(number). "
            lines += Wrapped.lines(operation.sentence, first: first)
            guard !isInline else { continue }
            lines += Wrapped.lines(cut(Record.line(operation)), first: "       ", rest: "           ")
        }
        return lines
    }

    /// Without the time that it took, and not too long.
    private func cut(_ line: String) -> String {
        let line = line.lastIndex(of: "<").map { line[..<$0].dropLast() } ?? line[...]
        return line.utf8.count > 400 ? line.prefix(397) + "..." : String(line)
    }

    /// Lines of a record's header that say nothing of versions: some describe each device of a machine.
    private static let notVersions: Set<String> = [
        "script", "set", "failure", "bench", "model", "host bridge", "port", "device", "bar", "config", "rdma",
        "software rdma", "iommu", "platform", "limits",
    ]

    private var versions: [String] {
        var lines = ["Versions", ""]
        for (key, value) in record?.header ?? [] where !Mail.notVersions.contains(key) {
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

    private var isInline: Bool { program.map { $0.count <= Mail.mostOfProgram } ?? false }

    private var withoutPeerlab: [String] {
        guard let program else { return [] }
        let name = file.split(separator: "/").last.map(String.init) ?? file
        guard program.count <= Mail.mostOfProgram else {
            let path = name.hasPrefix("-") ? "./\(name)" : name
            return ["Without peerlab", ""]
                + Wrapped.lines(
                    "The calls as one C file have \(program.count) lines: make the record smaller first (peerlab minimise), "
                        + "or attach the file that this writes:")
                + ["", "    " + ShellWord.line(["peerlab", "export", "--c", "reproducer.c", path])]
        }
        let codes =
            switch (state == .bug ? decision : nil, decision?.knowsRight) {
            case (nil, _): ""
            case (_, false): " It ends with 1 where the bug is present, else with 4."
            default: " It ends with 0 on a kernel that answers rightly, 1 where the bug is present."
            }
        return ["Without peerlab", ""]
            + Wrapped.lines("The same calls as one C file, which needs nothing of ours.\(codes)") + [""] + program
    }
}
