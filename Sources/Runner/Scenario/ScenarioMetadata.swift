public import LuaKit

/// Limits of one run.
public struct Limits: Sendable, Equatable, Codable {
    /// Seconds; nil for the batch's own limit.
    public var timeout: Double?
    /// Bytes; nil for the batch's own limit.
    public var memory: UInt64?

    /// Whether a scenario may declare these values.
    public var areUsable: Bool {
        (timeout.map(Limits.times.contains) ?? true) && (memory.map(Limits.memories.contains) ?? true)
    }

    /// None.
    public init(timeout: Double? = nil, memory: UInt64? = nil) {
        self.timeout = timeout
        self.memory = memory
    }

    /// The time limit as text, with its origin.
    public static func text(_ seconds: Double, isScenarios: Bool) -> String {
        let number = Int(exactly: seconds).map(String.init) ?? String(seconds)
        return "it may take \(number) s (\(isScenarios ? "the scenario's own timeout" : "--timeout"))"
    }

    /// Valid time limits, seconds.
    static let times = 0.001...8_640_000.0
    /// Default memory limit of a script's values, bytes.
    public static let defaultMemory: UInt64 = 1 << 30
    /// Most bytes that a script may print in one run.
    static let output = 64 << 20
    /// Valid memory limits, bytes: even an idle process needs some.
    public static let memories: ClosedRange<UInt64> = (32 << 20)...(1 << 50)

    /// `timeout` (seconds, or "90s", "5m") and `memory` (bytes, or "256M") of a scenario's table.
    init(_ fields: [String: LuaValue]) throws(ErrorValue) {
        switch fields["timeout"] {
        case nil: break
        case .integer(let value)?: timeout = Double(value)
        case .number(let value)?: timeout = value
        case .string(let text)?: timeout = Limits.seconds(text) ?? -1
        default: timeout = -1
        }
        if let timeout, !Limits.times.contains(timeout) {
            throw ErrorValue(
                kind: .script,
                "'timeout' must be a millisecond to 100 days, as seconds or text such as \"90s\" or \"5m\"")
        }
        switch fields["memory"] {
        case nil: return
        case .integer(let value)? where value > 0: memory = UInt64(value)
        case .string(let text)?: memory = parseSize(text).flatMap { $0 > 0 ? UInt64($0) : nil }
        default: break
        }
        guard let memory, Limits.memories.contains(memory) else {
            throw ErrorValue(
                kind: .script, "'memory' must be 32 MiB at least, as bytes or text such as \"256M\"")
        }
    }

    /// "500ms", "30s", "5m", "2h", or seconds without a unit; nil for anything else.
    public static func seconds(_ text: String) -> Double? {
        guard let seconds = parseTime(text).map({ Double($0) / 1000 }) ?? Double(text) else { return nil }
        return times.contains(seconds) ? seconds : nil
    }
}

/// An option, and the values that a batch gives it in turn.
public struct MatrixRow: Sendable, Equatable, Codable {
    /// The option.
    public let option: String
    /// Its values, as text for `--set`.
    public let values: [String]

    /// A row.
    public init(option: String, values: [String]) {
        self.option = option
        self.values = values
    }

    /// Most combinations of one scenario.
    public static let most = 10_000

    /// "more than 10000" where rows of these lengths have too many combinations; otherwise nil.
    public static func combinations(_ lengths: [Int]) -> String? {
        var product = 1
        for length in lengths {
            product *= length
            if product > most { return "more than \(most)" }
        }
        return nil
    }

    /// The rows of a scenario's `matrix`, by name; each value must be valid for its option.
    static func rows(_ value: LuaValue?, _ options: [OptionSchema]) throws(ErrorValue) -> [MatrixRow] {
        guard let value else { return [] }
        guard case .table(let table) = value else {
            if value == .list([]) { return [] }
            throw ErrorValue(kind: .script, "'matrix' must be a table of lists, not a \(value.typeName)")
        }
        var rows: [MatrixRow] = []
        for (name, entry) in table.sorted(by: { $0.key < $1.key }) {
            guard !options.isEmpty else {
                throw ErrorValue(kind: .script, "'matrix' has '\(name)', but the scenario declares no options")
            }
            guard let option = options.first(where: { $0.name == name }) else {
                throw unknownKey(name, in: "the matrix", of: options.map(\.name))
            }
            guard case .list(let list) = entry, !list.isEmpty else {
                throw ErrorValue(kind: .script, "matrix.\(name) must be a list of values")
            }
            var values: [String] = []
            var parsed: [LuaValue] = []
            for item in list {
                let text = plainText(item)
                do throws(ErrorValue) {
                    let value = try option.parse(text)
                    guard !parsed.contains(value) else { throw ErrorValue(kind: .script, "it has '\(text)' twice") }
                    parsed.append(value)
                } catch {
                    throw ErrorValue(kind: .script, "matrix.\(name): \(error.message)")
                }
                values.append(text)
            }
            rows.append(MatrixRow(option: name, values: values))
        }
        if let count = MatrixRow.combinations(rows.map(\.values.count)) {
            throw ErrorValue(
                kind: .script, "the matrix has \(count) combinations; at most \(MatrixRow.most) are run")
        }
        return rows
    }
}

extension Scenario {
    /// A warning that the run is only one combination of the matrix; nil where the settings choose it, as in a batch.
    func matrixWarning(_ settings: [(name: String, value: String)], file: String) -> String? {
        let open = matrix.filter { row in !settings.contains { $0.name == row.option } }
        guard !open.isEmpty else { return nil }
        let count = open.reduce(1) { $0 * $1.values.count }
        let names = open.map(\.option).joined(separator: ", ")
        return "the matrix has \(count) combination\(count == 1 ? "" : "s") of \(names); this run takes the option"
            + "\(open.count == 1 ? "'s default" : "s' defaults"): `peerlab batch \(file)` runs them all, --set one of them"
    }
}

/// A plain value, written as for `--set`.
public func plainText(_ value: LuaValue) -> String {
    switch value {
    case .integer(let number): String(number)
    case .number(let number): String(number)
    case .boolean(let flag): String(flag)
    case .string(let text): text
    default: value.typeName
    }
}

extension Scenario {
    /// `tags`: words by which batches select; not "and", "or", "not".
    static func tags(_ value: LuaValue?) throws(ErrorValue) -> [String] {
        guard let value, value != .table([:]) else { return [] }
        guard case .list(let list) = value else {
            throw ErrorValue(kind: .script, "'tags' must be a list of words, not a \(value.typeName)")
        }
        var tags: [String] = []
        for entry in list {
            guard case .string(let tag) = entry, !tag.isEmpty, !["and", "or", "not"].contains(tag),
                tag.utf8.allSatisfy({ $0 == 0x5f || $0 == 0x2d || $0 == 0x2e || isAlphanumeric($0) })
            else { throw ErrorValue(kind: .script, "'tags' must be words of letters, digits, '-', '_' and '.'") }
            tags.append(tag)
        }
        return tags
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }
}
