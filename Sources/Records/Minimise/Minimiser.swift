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
    /// Lines that say what is wrong with the failing answer.
    private let judgements: Set<Int>
    /// So far.
    public private(set) var progress = Progress()

    /// A candidate must fail for the same reason. A simulated kernel tells which check refused. A real one tells only the errno,
    /// so the failing request and the calls that created its objects keep their arguments, and the calls that readied those
    /// objects (bind, attach, modify_qp) stay.
    ///
    /// - Parameters:
    ///   - knowsChecks: whether answers tell which check refused: those of a simulated kernel do.
    ///   - answers: makes a candidate's calls on a fresh kernel; one answer for each that was made, by its line.
    ///   - isOver: whether to stop with what there is.
    ///   - report: hears of each success.
    /// - Returns: nil where no answer of the record is the failure that `expression` names; without one, it is the last answer
    ///   that differs from the record, or else the refusal that failed the script, or of a script that did not fail the last
    ///   one. Answers to a script's clean-up are never taken for the failure.
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
        judgements = Set(
            record.decisions.compactMap { decision in
                decision.place.map { record.entries[$0].line } == found.line
                    ? record.entries[decision.entry].line : nil
            })
    }

    private static func failure(of record: Record, _ all: [Answer]) -> Answer? {
        let cleaning = record.linesOfCleaningUp
        let answers = all.filter { !cleaning.contains($0.line) }
        if let other = answers.last(where: { $0.verdict == "differs" }) { return other }
        let refusals = answers.filter { $0.errno != "none" && $0.verdict == "same" }
        guard !record.failures.isEmpty else { return refusals.last }
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
        let isSame = { (answer: Answer) in
            answer.isSameFailure(as: failure) && expression?.matches(answer) ?? true
        }
        guard answers(candidate).contains(where: isSame) else { return false }
        record = candidate
        progress.operations = count
        report(progress)
        return true
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

    /// Lines that are never dropped: the failing one and, where answers do not tell which check refused, those that ready its
    /// objects.
    private var kept: Set<Int> { knowsChecks ? [failure.line] : record.meaning(of: failure.line).readies }

    // MARK: Simpler values

    private mutating func simplify() {
        let fixed = knowsChecks ? [] : record.meaning(of: failure.line).makes
        for line in record.operations.map({ record.entries[$0.index].line }) where !fixed.contains(line) {
            var isSimpler = true
            while isSimpler, !isOver() {
                isSimpler = false
                guard let index = record.entries.firstIndex(where: { $0.line == line && $0.isOperation }),
                    case .operation(let operation) = record.entries[index].kind
                else { break }
                for simpler in operation.simplerOnes {
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

extension Record {
    /// What the request at `line` depends on. `makes`: lines of the calls that created its objects, and theirs. `readies`: the
    /// same, and the calls that readied those objects. Both include `line`.
    func meaning(of line: Int) -> (makes: Set<Int>, readies: Set<Int>) {
        var needed: Set<String> = []
        var makes: Set<Int> = [], readies: Set<Int> = []
        for entry in entries.reversed() where entry.line <= line {
            guard case .operation(let operation) = entry.kind else { continue }
            let isMaker = entry.line == line || !needed.isDisjoint(with: operation.makes)
            let isReady = operation.errno == nil && Operation.readying.contains(operation.name)
            guard isMaker || isReady && !needed.isDisjoint(with: operation.needs) else { continue }
            needed.formUnion(operation.needs)
            readies.insert(entry.line)
            if isMaker { makes.insert(entry.line) }
        }
        return (makes, readies)
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

    /// Without these lines, and without what needs what they alone made: a list of devices may come more than once.
    func without(_ lines: Set<Int>) -> Record {
        var result = self
        var there: Set<String> = [], gone: Set<String> = []
        result.entries = entries.filter { entry in
            guard case .operation(let operation) = entry.kind else { return true }
            let isKept = !lines.contains(entry.line) && gone.isDisjoint(with: operation.needs)
            if isKept {
                there.formUnion(operation.makes)
                gone.subtract(operation.makes)
            } else {
                gone.formUnion(operation.makes.filter { !there.contains($0) })
            }
            return isKept
        }
        return result
    }
}

extension Operation {
    /// Calls that ready an object for use. Without them, later requests on it fail for that reason only.
    fileprivate static let readying: Set<String> = [
        "VFIO_DEVICE_BIND_IOMMUFD", "VFIO_DEVICE_ATTACH_IOMMUFD_PT", "VFIO_GROUP_SET_CONTAINER", "VFIO_SET_IOMMU",
        "EDU_ATTACH", "ibv_modify_qp",
    ]

    /// Names that go in.
    var needs: [String] {
        zip(signature.parameters, arguments).flatMap { $0.isOutput ? [] : CStep.symbols($1) }
    }

    /// Names that come out, of which some may have been there before.
    var makes: [String] {
        (CStep.symbols(result) + outputs.flatMap { CStep.symbols($0.value) }).filter { !needs.contains($0) }
    }
}
