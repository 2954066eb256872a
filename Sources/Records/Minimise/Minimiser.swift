import Kernel

/// Makes a record smaller that still fails in the same way: drops operations, together with those that need what they
/// made, then makes sizes, ranges, flags and data simpler.
public struct Minimiser {
    /// What one try costs and brought.
    public struct Progress: Sendable {
        /// Candidates that were tried.
        public var tries = 0
        /// Operations that are left.
        public var operations = 0
    }

    private var record: Record
    /// Makes the calls of a candidate on a fresh kernel.
    private let answers: (Record) -> [Answer]
    /// Whether the budget is used up.
    private let isOver: () -> Bool
    private let report: (Progress) -> Void
    private let expression: FailureExpression?
    /// Whether answers tell which check refused.
    private let knowsChecks: Bool
    private var failure: Answer
    /// The answers to the whole record, by their lines.
    private let before: [Int: Answer]
    /// Lines that say what is wrong with the failing answer.
    private let judgements: Set<Int>
    /// Whether its right answer is a text that the script made of what it asked for: "12288 bytes mapped".
    private let isRightComputed: Bool
    /// So far.
    public private(set) var progress = Progress()

    /// A candidate must fail for the same reason, and the calls before it be answered as they were. A simulated kernel tells which
    /// check refused. A real one tells only the errno, so the failing request and the calls that created its objects keep their
    /// arguments, and the calls that may have changed those objects (bind, attach, writes, posted work) stay. Where the failing answer
    /// is a success, no kernel tells a reason, and the latter keep their arguments too. So they do where the right answer is a
    /// text of the script's, which may tell of these arguments.
    ///
    /// - Parameters:
    ///   - knowsChecks: whether answers tell which check refused: those of a simulated kernel do.
    ///   - answers: makes a candidate's calls on a fresh kernel; one answer for each that was made, by its line.
    ///   - isOver: whether to stop with what there is.
    ///   - report: hears of each success.
    /// - Returns: nil where no answer of the record is the failure that `expression` names; without one, it is the first that a
    ///   mark calls wrong, or else the last answer that differs from the record, the first that failed the script, or of a plain
    ///   script that did not fail the last refusal. Where marks tell of no single answer, none is the failure. Answers to a
    ///   script's clean-up are never taken for it.
    public init?(
        _ record: Record, until expression: FailureExpression?, knowsChecks: Bool,
        answers: @escaping (Record) -> [Answer],
        isOver: @escaping () -> Bool, report: @escaping (Progress) -> Void
    ) {
        let all = answers(record)
        let found: Answer? =
            if let expression {
                all.last(where: expression.matches)
            } else {
                Minimiser.failure(of: record, all)
            }
        guard let found else { return nil }
        self.record = record
        self.expression = expression
        self.knowsChecks = knowsChecks
        self.answers = answers
        self.isOver = isOver
        self.report = report
        failure = found
        before = Dictionary(all.map { ($0.line, $0) }, uniquingKeysWith: { first, _ in first })
        let told = record.decisions.filter { $0.place.map { record.entries[$0].line } == found.line }
        judgements = Set(told.map { record.entries[$0.entry].line })
        isRightComputed = told.contains { !$0.knowsRight }
    }

    private static func failure(of record: Record, _ all: [Answer]) -> Answer? {
        let cleaning = record.linesOfCleaningUp
        let answers = all.filter { !cleaning.contains($0.line) }
        let marks = record.wrongMarks
        let wrong = marks.compactMap { $0.operation.map { record.entries[$0].line } }
        // No other answer stands in for one that a mark is about.
        guard marks.isEmpty || !wrong.isEmpty else { return nil }
        // The first, of which a mail tells too.
        for line in wrong {
            if let answer = answers.first(where: { $0.line == line && $0.verdict == "same" }) { return answer }
        }
        if let other = answers.last(where: { $0.verdict == "differs" }) { return other }
        guard marks.isEmpty else { return nil }
        let refused = record.decisions.lazy.compactMap { $0.operation.map { record.entries[$0].line } }.first
        if let refused, let answer = answers.first(where: { $0.line == refused }) { return answer }
        let refusals = answers.filter { $0.errno != Answer.success && $0.verdict == "same" }
        // The cases of a scenario that did not fail had the answers that they expected.
        guard !record.failures.isEmpty else { return record.isOfScenario ? nil : refusals.last }
        for (index, failure) in record.failures.reversed() {
            guard let call = failure.call else { continue }
            let line = record.entries[index].line
            let found = refusals.last {
                $0.line < line && $0.operation == call.operation && $0.errno == call.errno
            }
            if let found { return found }
        }
        return nil
    }

    /// What fails, and how.
    public var signature: Answer { failure }

    /// The smallest record found.
    public mutating func run() -> Record {
        dropBehindFailure()
        dropInParts()
        simplify()
        dropInParts()
        var smaller = record.withoutEmptyCases
        // What else the script failed of is not what this record shows.
        smaller.entries.removeAll { entry in
            switch entry.kind {
            case .judgement: return !judgements.contains(entry.line)
            case .failure(let told): return told.call.map { $0 != (failure.operation, failure.errno) } ?? true
            default: return false
            }
        }
        smaller.isWhole = true
        return smaller
    }

    private var count: Int { record.operations.count }

    /// Takes a candidate where it fails in the same way.
    private mutating func accept(_ candidate: Record) -> Bool {
        guard !isOver() else { return false }
        progress.tries += 1
        let found = answers(candidate)
        let isSame = { (answer: Answer) in
            answer.isSameFailure(as: failure) && expression?.matches(answer) ?? true
        }
        guard found.contains(where: isSame), found.allSatisfy({ $0.line >= failure.line || isAsBefore($0) }) else {
            return false
        }
        record = candidate
        progress.operations = count
        report(progress)
        return true
    }

    /// Whether a call before the failing one is answered as it was: one that is refused now may be why the failing one fails.
    private func isAsBefore(_ answer: Answer) -> Bool {
        before[answer.line].map { $0.errno == answer.errno && $0.verdict == answer.verdict } ?? true
    }

    // MARK: Fewer operations

    private mutating func dropBehindFailure() {
        var candidate = record
        candidate.entries.removeAll { $0.line > failure.line && $0.isOperation }
        if candidate.entries.count < record.entries.count { _ = accept(candidate) }
    }

    /// Delta debugging (Zeller): parts of a half, a quarter, and so on, down to single operations, until none can go.
    private mutating func dropInParts() {
        var size = max(1, count / 2)
        let kept = self.kept
        while !isOver() {
            var hasDropped = false
            var end = count
            // From the end: what is needed stands before what needs it.
            while end > 0, !isOver() {
                let lines = record.operations.map { record.entries[$0.index].line }
                let part = Set(lines[max(0, end - size)..<end]).subtracting(kept)
                end -= size
                guard !part.isEmpty, accept(record.without(part)) else { continue }
                hasDropped = true
                end = min(end, count)
            }
            if size == 1, !hasDropped { return }
            size = max(1, size / 2)
        }
    }

    /// Lines that are never dropped: the failing one and, where answers do not tell which check refused, those that may have changed
    /// its objects.
    private var kept: Set<Int> { tellsReason ? [failure.line] : record.needs(of: failure.line).readies }

    /// Whether the failing answer tells why it is as it is: a check refused. A success has no such reason, nor has a completion.
    private var tellsReason: Bool { knowsChecks && failure.check != nil }

    // MARK: Simpler values

    /// Lines whose arguments stay. A real kernel's errno depends on what made the failing request's objects; a success on all that
    /// led to it: an empty read succeeds everywhere.
    private var fixed: Set<Int> {
        guard !tellsReason || isRightComputed else { return [] }
        let needs = record.needs(of: failure.line)
        return failure.errno == Answer.success || isRightComputed ? needs.readies : needs.makes
    }

    private mutating func simplify() {
        let fixed = fixed
        for line in record.operations.map({ record.entries[$0.index].line }) where !fixed.contains(line) {
            var isSimpler = true
            while isSimpler, !isOver() {
                isSimpler = false
                guard let index = record.entries.firstIndex(where: { $0.line == line && $0.isOperation }),
                    case .operation(let operation) = record.entries[index].kind
                else { break }
                for simpler in operation.simplerOnes where !record.meets(simpler, insteadOf: operation, at: index) {
                    var candidate = record
                    candidate.entries[index].kind = .operation(simpler)
                    if accept(candidate) {
                        isSimpler = true
                        break
                    }
                }
            }
        }
    }
}

extension Record.Entry {
    var isOperation: Bool {
        if case .operation = kind { true } else { false }
    }
}

extension Record {
    /// Without the names and logs of cases that have no operation left.
    var withoutEmptyCases: Record {
        var result = self
        var hasOperation = false
        result.entries = entries.reversed().filter { entry in
            guard case .comment(let text) = entry.kind else {
                hasOperation = hasOperation || entry.isOperation
                return true
            }
            defer { if !text.hasPrefix("|") { hasOperation = false } }
            return hasOperation
        }.reversed()
        return result
    }
}
