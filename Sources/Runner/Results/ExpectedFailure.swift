import Bindings
import Glibc
import Kernel
public import LuaKit

/// A failure that is known, with its reason. It does not fail a run; that it is gone does.
public struct ExpectedFailure: Codable, Sendable, Equatable {
    /// The case's name, in which "*" stands for any text; nil for any failure of the run.
    public let name: String?
    /// Why it fails, one line.
    public let reason: String
    /// Whether it may pass too; absent where passing is an error.
    public let sometimes: Bool?

    private enum CodingKeys: String, CodingKey {
        case name = "case"
        case reason, sometimes
    }

    /// From its parts.
    public init(case name: String?, reason: String, sometimes: Bool = false) {
        self.name = name
        self.reason = reason
        self.sometimes = sometimes ? true : nil
    }

    /// Whether it is about a case of this name.
    public func concerns(_ one: String) -> Bool { name.map { WildcardText.matches(one, $0) } ?? true }

    static let keys: Set<String> = ["case", "reason", "bench", "sometimes"]

    /// `expected_failures` of a scenario's table: those that apply on a bench. `cases`: the names of its cases; nil where
    /// they are not known.
    static func list(
        _ value: LuaValue?, cases: [String]?, on bench: String
    ) throws(ErrorValue) -> [ExpectedFailure] {
        guard let value, value != .table([:]), value != .list([]) else { return [] }
        let form = "'expected_failures' must be a list of { case = NAME, reason = TEXT }"
        guard case .list(let entries) = value else { throw ErrorValue(kind: .script, form) }
        var list: [ExpectedFailure] = []
        for entry in entries {
            guard case .table(let fields) = entry else { throw ErrorValue(kind: .script, form) }
            for key in fields.keys.sorted() where !keys.contains(key) {
                throw unknownKey(key, in: "an entry of 'expected_failures'", of: keys)
            }
            guard case .string(let reason)? = fields["reason"], !reason.isEmpty else {
                throw ErrorValue(kind: .script, "\(form): one has no reason")
            }
            var name: String?
            if let given = fields["case"] {
                guard case .string(let text) = given,
                    cases?.contains(where: { WildcardText.matches($0, text) }) ?? true
                else {
                    let near = nearest(to: plainText(given), in: cases ?? []).map { "; did you mean '\($0)'?" } ?? ""
                    throw ErrorValue(
                        kind: .script, "'expected_failures': no case is called '\(plainText(given))'\(near)")
                }
                name = text
            }
            switch fields["bench"] {
            case nil: break
            case .string(let text)? where ["sim", "lab", "host"].contains(text): if text != bench { continue }
            default: throw ErrorValue(kind: .script, "'expected_failures': bench is \"sim\", \"lab\" or \"host\"")
            }
            var sometimes = false
            switch fields["sometimes"] {
            case nil: break
            case .boolean(let flag)?: sometimes = flag
            default: throw ErrorValue(kind: .script, "'expected_failures': sometimes is true or false")
            }
            list.append(ExpectedFailure(case: name, reason: reason, sometimes: sometimes))
        }
        return list
    }
}

/// The expected failures of many runs, as a file lists them (`--expect`). Each line is `FILE > CASE  # REASON`, or
/// `FILE  # REASON` for any failure of the run; "sometimes " before it says that it may pass too. FILE is a path or the
/// end of one, with a matrix cell or without; "*" stands for any text. Lines that begin with "#" are comments.
public struct ExpectedFailures: Sendable {
    private struct Entry {
        let line: Int
        let run: String
        let failure: ExpectedFailure
    }
    private var entries: [Entry] = []

    /// None.
    public init() {}

    /// Reads the text of a file; `path` names the file in messages.
    public init(_ text: String, path: String) throws(ErrorValue) {
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = raw.trimmed
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            func wrong(_ what: String) -> ErrorValue {
                ErrorValue(
                    kind: .usage,
                    "\(path):\(index + 1): \(what): '\(PrintableText.line(String(line), longest: 200))'; a line is "
                        + "FILE > CASE  # REASON, or FILE  # REASON for any failure of the run")
            }
            guard let mark = line.firstRange(of: " # ") else { throw wrong("the line has no reason behind ' # '") }
            let reason = line[mark.upperBound...].trimmed
            var subject = line[..<mark.lowerBound].trimmed
            let sometimes = subject.hasPrefix("sometimes ")
            if sometimes { subject = subject.dropFirst("sometimes ".count).trimmed }
            var name: Substring?
            if let arrow = subject.firstRange(of: " > ") {
                name = subject[arrow.upperBound...].trimmed
                subject = subject[..<arrow.lowerBound].trimmed
            }
            guard !subject.isEmpty, !subject.hasPrefix("> ") else { throw wrong("the line names no file") }
            guard name != "", !subject.hasSuffix(" >") else { throw wrong("the line names no case behind ' > '") }
            let failure = ExpectedFailure(case: name.map(String.init), reason: String(reason), sometimes: sometimes)
            entries.append(Entry(line: index + 1, run: String(subject), failure: failure))
        }
    }

    /// Reads a file.
    public init(reading path: String) throws(ErrorValue) {
        let text: String
        do throws(Failure) {
            text = try InputFile.text(of: path, limit: InputFile.Limit.rules, mayBeStream: true)
        } catch { throw ErrorValue(kind: .usage, error.message) }
        try self.init(text, path: path)
    }

    /// The failures expected of a run: its file's path, with its matrix cell if it has one ("a/b.lua[size=64]").
    public func failures(of run: String) -> [ExpectedFailure] {
        entries.filter { ExpectedFailures.matches(run, $0.run) }.map(\.failure)
    }

    /// Line numbers of entries that are about none of these runs' cases.
    public func unused(by runs: [(run: String, cases: [String])]) -> [Int] {
        entries.filter { entry in
            !runs.contains { run in
                ExpectedFailures.matches(run.run, entry.run) && run.cases.contains(where: entry.failure.concerns)
            }
        }.map(\.line)
    }

    private static func matches(_ run: String, _ pattern: String) -> Bool {
        // The cell is at the end; a folder's name may have brackets too.
        let cell = run.hasSuffix("]") ? run.lastIndex(of: "[") : nil
        let path = String(run[..<(cell ?? run.endIndex)])
        return [run, path].contains { text in
            if WildcardText.matches(text, pattern) { return true }
            // The end of the path, from the beginning of a name in it.
            return path.indices.contains { index in
                path[index] == "/" && WildcardText.matches(String(text[text.index(after: index)...]), pattern)
            }
        }
    }
}

/// Texts in which "*" stands for any text.
enum WildcardText {
    static func matches(_ text: String, _ pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1, let first = parts.first, let last = parts.last else { return text == pattern }
        guard text.count >= first.count + last.count, text.hasPrefix(first), text.hasSuffix(last) else { return false }
        var rest = text.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }
}

extension StringProtocol where SubSequence == Substring {
    /// Without blanks at both ends.
    fileprivate var trimmed: Substring {
        func isBlank(_ one: Character) -> Bool { one == " " || one == "\t" || one == "\r" }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
            return self[endIndex...]
        }
        return self[first...last]
    }
}

// MARK: Judging

extension CaseResult {
    /// Gives a failure that is expected, or a pass that is not, its verdict. A complaint of the kernel that the case did not
    /// declare is no expected failure, as nobody knows that it is the known one. `isCase`: whether it is one of the
    /// scenario's cases, which entries name.
    mutating func judge(_ expected: [ExpectedFailure], isCase: Bool = true) {
        let named = isCase ? expected.first { $0.name != nil && $0.concerns(name) } : nil
        guard let entry = named ?? expected.first(where: { $0.name == nil }) else { return }
        let hasComplaint = kernel.map { !$0.lines.isEmpty || $0.taint != nil } ?? false
        switch verdict {
        case .fail where !hasComplaint:
            verdict = .expectedFailure
            expected_failure = entry.reason
        case .pass where entry.name != nil && entry.sometimes != true:
            verdict = .unexpectedPass
            expected_failure = entry.reason
            message = "expected to fail, but passed; it was expected because: \(entry.reason)"
        default: break
        }
    }
}

extension ScenarioResult {
    /// The worst verdict of its cases, and of what it left open.
    var judged: Verdict {
        let verdicts = cases.map(\.verdict)
        let whole = (expected_failures ?? []).first { $0.name == nil }
        if verdicts.contains(.interrupted) { return .interrupted }
        // An expected failure of one case says nothing of those that it kept from running.
        let isLost = verdicts.contains(.notRun) || !left_open.isEmpty
        if verdicts.contains(.fail) || (isLost && whole == nil) { return .fail }
        let hasFailed = verdicts.contains(.expectedFailure) || !left_open.isEmpty
        // Cases that were not selected may be those that fail.
        let isMended =
            verdicts.contains(.pass) && !hasFailed && !verdicts.contains(.notSelected)
            && whole.map { $0.sometimes != true } ?? false
        if verdicts.contains(.unexpectedPass) || isMended { return .unexpectedPass }
        if hasFailed { return .expectedFailure }
        return verdicts.contains(.pass) ? .pass : .skip
    }
}
