/// Errors to inject: calls that are refused without being made, to test how a program behaves then.
public struct FaultPlan: Sendable {
    /// An operation, which of its calls are refused, and the errno.
    public struct Rule: Sendable {
        /// The operation's name in errors: "IOMMU_IOAS_MAP", "VFIO_DEVICE_FEATURE DMA_BUF GET", "ibv_reg_mr", "open".
        public let operation: String
        /// The errno.
        public let errno: Errno
        /// Number of the first call that is refused, from 1.
        public let first: Int
        /// After that, every `step`-th call is refused; 0 for none.
        public let step: Int

        fileprivate func refuses(_ count: Int) -> Bool { FaultPlan.isTurn(count, first, step) }
    }

    /// Why a rule is invalid.
    public struct RuleError: Error {
        /// The mistake, and the correct form.
        public let message: String

        /// A reason.
        public init(message: String) { self.message = message }
    }

    private var rules: [Rule] = []
    /// Number of calls that each rule has refused; then those that the rate has refused, and its number of calls.
    private var refused: [Int] = []
    private var refusedByRate = 0, drawn = 0
    /// Number of calls of each operation since the plan was set.
    public private(set) var calls: [String: Int] = [:]
    private var rate = 0.0
    private var generator = SeededGenerator(seed: 0)

    /// A plan that refuses nothing.
    public init() {}

    /// Whether it can refuse anything.
    public var isEmpty: Bool { rules.isEmpty && rate == 0 }

    /// Rules that refused no call, in words: such a run shows less than it seems to.
    public var unused: [String] {
        let unused = rules.indices.filter { refused[$0] == 0 }.map { index in
            let rule = rules[index]
            let count = calls[rule.operation, default: 0]
            let made = count == 0 ? "was not called" : count == 1 ? "was called once" : "was called \(count) times"
            let why = count < rule.first ? "which \(made)" : "which another rule refuses"
            return "\(rule.errno.name) at call \(rule.first) of \(rule.operation), \(why)"
        }
        guard rate > 0, refusedByRate == 0 else { return unused }
        return unused + ["calls at a rate of \(rate), of which there were \(drawn)"]
    }

    /// Adds a rule.
    /// - Parameters:
    ///   - name: the errno's name; the operation must be able to return it.
    ///   - when: "2" for the second call from now on, "2+" for that and all later ones, "2+3" for that and
    ///     every third later one.
    public mutating func add(_ operation: String, _ name: String, when: String = "1") throws(RuleError) {
        let known = Refusal.all(of: operation)
        guard !known.isEmpty else {
            throw RuleError(message: "no operation '\(operation)' is known; names are those of errors and traces")
        }
        guard known.contains(where: { $0.name == name }), let errno = Errno(name: name) else {
            throw RuleError(
                message: "\(operation) cannot answer \(name); it can: \(known.map(\.name).joined(separator: ", "))")
        }
        let (first, step) = try FaultPlan.turns(when)
        refused.append(0)
        rules.append(
            Rule(operation: operation, errno: errno, first: calls[operation, default: 0] + first, step: step))
    }

    /// The first turn and the step of "N", "N+" or "N+STEP"; without a step 0.
    static func turns(_ when: String) throws(RuleError) -> (first: Int, step: Int) {
        let parts = when.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        let step = parts.count < 2 ? 0 : parts[1].isEmpty ? 1 : Int(parts[1]) ?? -1
        // Far below what a sum with a number of calls could exceed.
        guard let first = Int(parts[0]), (1...(1 << 53)).contains(first), step >= 0, parts.count < 2 || step > 0 else {
            throw RuleError(message: "'\(when)' is no N, N+ or N+STEP, counted from 1")
        }
        return (first, step)
    }

    static func isTurn(_ count: Int, _ first: Int, _ step: Int) -> Bool {
        count == first || (step > 0 && count > first && (count - first) % step == 0)
    }

    /// Refuses each call with this probability, 0 to 1, with one of the errnos that it can return. The same seed
    /// refuses the same calls of the same program.
    public mutating func refuse(rate: Double, seed: UInt64) throws(RuleError) {
        guard rate > 0, rate <= 1 else {
            throw RuleError(message: "a rate is more than 0, which would refuse nothing, and at most 1, not \(rate)")
        }
        self.rate = rate
        generator = SeededGenerator(seed: seed)
    }

    /// Counts a call; returns the errno to inject, or nil to make the call.
    mutating func refusal(of operation: String) -> Errno? {
        let count = calls[operation, default: 0] + 1
        calls[operation] = count
        if let index = rules.firstIndex(where: { $0.operation == operation && $0.refuses(count) }) {
            refused[index] += 1
            return rules[index].errno
        }
        guard rate > 0 else { return nil }
        drawn += 1
        var answer: Errno?
        if Double(generator.next() >> 11) * 0x1p-53 < rate {
            refusedByRate += 1
            answer = Refusal.all(of: operation).randomElement(using: &generator).flatMap { Errno(name: $0.name) }
        }
        return answer
    }
}
