import Kernel

extension Record {
    /// What a script says of an answer: that it is wrong, or, where both are the same, that a known bug is not there. Written as
    /// `#! wrong "FOUND", right "RIGHT": WHAT`; readers that do not know it take it for a comment.
    public struct Judgement: Sendable, Equatable {
        static let mark = "#! wrong"
        /// What the kernel answered, as the script tells it: "EADDRINUSE".
        public var found: String
        /// What a right kernel answers.
        public var right: String
        /// Of what: "the map".
        public var what: String

        /// Whether the answer is a right kernel's.
        public var isRight: Bool { found == right }

        /// A judgement.
        public init(found: String, right: String, what: String) {
            // A quotation mark would end the text.
            (self.found, self.right) = (found.replacing("\"", with: "'"), right.replacing("\"", with: "'"))
            self.what = what
        }

        var text: String { " \"\(found)\", right \"\(right)\":" + (what.isEmpty ? "" : " \(what)") }

        /// Reads a line; nil where it is none.
        init?(_ line: Substring) {
            let parts = line.split(separator: "\"", maxSplits: 4, omittingEmptySubsequences: false)
            guard parts.count == 5, parts[0] == Judgement.mark + " ", parts[2] == ", right ", parts[4].hasPrefix(":")
            else { return nil }
            (found, right) = (String(parts[1]), String(parts[3]))
            what = String(parts[4].dropFirst().drop { $0 == " " })
        }
    }

    /// What a record says of a wrong answer, and the operation that gave it.
    public struct Decision: Sendable {
        /// An answer that can be told from others.
        enum Answer: Equatable {
            case success
            case refusal(Errno)
            /// The status of a completion.
            case status(UInt64)
        }
        /// The index of the judgement, or of the failure, among the entries.
        public let entry: Int
        /// That of the operation; nil where nothing tells which one it is.
        public let operation: Int?
        /// The operation, or else the last one before that is no clean-up: what is told of then. nil without any.
        public let place: Int?
        /// The operation's wrong and right answers.
        let wrong: Answer, right: Answer
        /// The same, as the script tells it.
        public let judgement: Judgement

        /// Whether the right answer can be told from others: a success of which the script says more ("8192 bytes mapped") cannot.
        public var knowsRight: Bool {
            operation != nil && (right != .success || ["success", "SUCCESS", "0"].contains(judgement.right))
        }
    }

    /// Whether the record says of a known bug that it is not there.
    public var hasFixedBug: Bool {
        entries.contains { if case .judgement(let judgement) = $0.kind { judgement.isRight } else { false } }
    }

    /// Whether the script judges an answer wrong: a failed check does, a known bug, and a refused call of a case. A plain script
    /// has no case, and does not say which calls must succeed.
    public var isJudged: Bool {
        isOfScenario ? !decisions.isEmpty : !wrongMarks.isEmpty
    }

    /// Whether a scenario with cases made it, not a plain script.
    public var isOfScenario: Bool {
        entries.contains { entry in
            switch entry.kind {
            case .comment(let text): !text.hasPrefix("|")
            case .scenario: true
            default: false
            }
        }
    }

    /// Where a mark of the script's says that an answer is wrong, in order.
    public var wrongMarks: [Decision] {
        decisions.filter { if case .judgement = entries[$0.entry].kind { true } else { false } }
    }

    /// Where the record says that an answer is wrong, in order.
    public var decisions: [Decision] {
        var start = 0
        return entries.enumerated().compactMap { index, entry in
            switch entry.kind {
            case .comment(let text): if !text.hasPrefix("|") { start = index }
            case .judgement(let judgement) where judgement.isRight: break
            case .judgement(let judgement): return decision(judgement, index, entries[start..<index])
            case .failure(let failure):
                guard let call = failure.call, let errno = Errno(name: call.errno),
                    let place = Record.last(
                        in: entries[start..<index], { $0.name == call.operation && $0.errno?.code == errno.code })
                else { return nil }
                let judgement = Judgement(found: call.errno, right: "success", what: call.operation)
                return Decision(
                    entry: index, operation: place, place: place, wrong: .refusal(errno), right: .success,
                    judgement: judgement)
            case .operation, .feature, .scenario: break
            }
            return nil
        }
    }

    private func decision(_ judgement: Judgement, _ index: Int, _ before: ArraySlice<Entry>) -> Decision {
        func decision(_ operation: Int?, _ wrong: Decision.Answer, _ right: Decision.Answer) -> Decision {
            Decision(
                entry: index, operation: operation, place: operation ?? Record.last(in: before) { !$0.isClosing },
                wrong: wrong, right: right, judgement: judgement)
        }
        let right = Errno(name: judgement.right).map { Decision.Answer.refusal($0) } ?? .success
        if let errno = Errno(name: judgement.found) {
            return decision(Record.last(in: before) { $0.errno?.code == errno.code }, .refusal(errno), right)
        }
        if let place = Record.last(in: before, { $0.status(judgement.found) != nil }),
            case .operation(let operation) = entries[place].kind, let wrong = operation.status(judgement.found),
            let right = operation.statuses.first(where: { $0.name == judgement.right })?.value
        {
            return decision(place, .status(wrong), .status(right))
        }
        // What should have been refused: the last call that is no clean-up.
        if right != .success, let place = Record.last(in: before, { !$0.isClosing }),
            case .operation(let operation) = entries[place].kind, operation.errno == nil
        {
            return decision(place, .success, right)
        }
        return decision(nil, .success, .success)
    }

    private static func last(in entries: ArraySlice<Entry>, _ fits: (Operation) -> Bool) -> Int? {
        entries.lastIndex { entry in
            if case .operation(let operation) = entry.kind { !operation.isInjected && fits(operation) } else { false }
        }
    }
}

extension Operation {
    /// The statuses that a completion may have; empty of other calls.
    fileprivate var statuses: [Format.Flag] {
        for case .number(_, .names(let names)) in completed { return names }
        return []
    }

    /// The status of that name, where a completion has it.
    fileprivate func status(_ name: String) -> UInt64? {
        guard let value = statuses.first(where: { $0.name == name })?.value else { return nil }
        let hasIt = completed.contains { if case .number(value, _) = $0 { true } else { false } }
        return hasIt ? value : nil
    }

    /// The statuses of what was completed.
    private var completed: [Value] {
        guard signature.name == "ibv_poll_cq", case .list(let completions)? = outputs.first?.value else { return [] }
        return completions.compactMap { completion in
            guard case .structure(let members) = completion else { return nil }
            return members.first { $0.name == "status" }?.value
        }
    }

    /// Whether it only ends what is there, waits, or looks at memory.
    fileprivate var isClosing: Bool {
        let others: Set = ["close", "munmap", "nanosleep", "poll", "load"]
        return others.contains(signature.name) || (Verbs.named(signature.name)?.ends ?? false)
    }
}
