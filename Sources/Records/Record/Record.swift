public import Kernel

/// What was asked of a kernel and what it answered, to be read, compared, replayed, made smaller, and turned into C. A plain
/// text: a first line, "key: value" lines, an empty line, then an operation a line; "#" begins a comment.
public struct Record: Sendable {
    /// The first line.
    static let mark = "peerlab record 1"

    /// One line behind the header.
    public struct Entry: Sendable {
        /// What stands there.
        public enum Kind: Sendable {
            /// A call with names for what is no plain number.
            case operation(Operation)
            /// Defines a VFIO device feature (number, size, fields) for all later lines.
            case feature(Feature)
            /// What a person reads.
            case comment(String)
            /// The script failed here. Later operations of the same case are its clean-up.
            case failure(ScriptFailure)
            /// What the script says of an answer before it: that it is wrong.
            case judgement(Judgement)
            /// What the scenario says of itself: "concerns", and the text.
            case scenario(key: String, String)
        }
        /// From 1, in the file.
        public var line: Int
        /// What stands there.
        public var kind: Kind

        /// A line.
        public init(line: Int, _ kind: Kind) {
            self.line = line
            self.kind = kind
        }
    }

    /// The first thing that went wrong in a case. Written with the prefix "#!", which a script's own comments
    /// ("# ...") never have: "#! failed OPERATION ERRNO: message", or "#! failed: message" where no call was refused.
    public struct ScriptFailure: Sendable, Equatable {
        static let mark = "#! failed"
        /// The refused call and the errno's name; nil where the script failed otherwise.
        public var call: (operation: String, errno: String)?
        /// What the script was told.
        public var message: String

        /// A failure.
        public init(call: (operation: String, errno: String)?, message: String) {
            self.call = call
            self.message = message
        }

        /// Whether both are the same.
        public static func == (one: ScriptFailure, other: ScriptFailure) -> Bool { one.text == other.text }

        var text: String { (call.map { " \($0.operation) \($0.errno)" } ?? "") + ": " + message }

        /// Reads a line; nil where it is none.
        init?(_ line: Substring) {
            guard line.hasPrefix(ScriptFailure.mark), let colon = line.firstIndex(of: ":") else { return nil }
            let words = line[..<colon].dropFirst(ScriptFailure.mark.count).split(separator: " ")
            guard words.count != 1 else { return nil }
            // Of a device's feature its name and what was done with it stand in between.
            call = words.first.flatMap { first in words.last.map { (String(first), String($0)) } }
            message = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
    }

    /// What the scenario says of itself: its "about", "concerns", "expected" or "seen"; nil where it says nothing.
    public func scenario(_ key: String) -> String? {
        for entry in entries {
            if case .scenario(key, let text) = entry.kind { return text }
        }
        return nil
    }

    /// Where the script failed, with the indices among the entries.
    public var failures: [(index: Int, failure: ScriptFailure)] {
        entries.enumerated().compactMap { index, entry in
            if case .failure(let failure) = entry.kind { (index, failure) } else { nil }
        }
    }

    /// The lines of operations that cleaned up behind a failure.
    var linesOfCleaningUp: Set<Int> {
        var lines: Set<Int> = []
        var isBehind = false
        for entry in entries {
            switch entry.kind {
            case .failure: isBehind = true
            case .comment(let text): if !text.hasPrefix("|") { isBehind = false }
            case .operation: if isBehind { lines.insert(entry.line) }
            case .feature, .judgement, .scenario: break
            }
        }
        return lines
    }

    /// True where the record ends with "#! end 12 operations". A record without that line was cut off or comes from an older
    /// version, so it may be incomplete.
    public var isWhole = false

    /// "kernel", "bench" and the like, in order.
    public var header: [(key: String, value: String)]
    /// Everything behind it.
    public var entries: [Entry]

    /// A record of these parts.
    public init(header: [(key: String, value: String)] = [], entries: [Entry] = []) {
        self.header = header
        self.entries = entries
    }

    /// The header's value; nil where it has none.
    public subscript(key: String) -> String? { header.first { $0.key == key }?.value }

    /// The operations with their indices among the entries.
    public var operations: [(index: Int, operation: Operation)] {
        entries.enumerated().compactMap { index, entry in
            if case .operation(let operation) = entry.kind { (index, operation) } else { nil }
        }
    }

    /// The whole text.
    public var text: String {
        var lines = [Record.mark] + header.map { "\($0.key): \(Record.oneLine($0.value))" } + [""]
        for entry in entries { lines.append(Record.line(entry.kind)) }
        if isWhole { lines.append(Record.end(operations.count)) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static let endMark = "#! end "
    private static let scenarioMark = "#! scenario "
    /// What a scenario says of itself, in a record.
    public static let scenarioKeys = ["about", "concerns", "expected", "seen"]

    /// Reads what a scenario says of itself; nil where the line is none.
    static func scenario(_ line: Substring) -> (key: String, text: String)? {
        guard line.hasPrefix(scenarioMark), let colon = line.firstIndex(of: ":") else { return nil }
        let key = String(line[..<colon].dropFirst(scenarioMark.count))
        guard scenarioKeys.contains(key) else { return nil }
        return (key, String(line[line.index(after: colon)...].drop { $0 == " " }))
    }

    static func end(_ count: Int) -> String { "\(endMark)\(count) operations" }

    /// How many operations there are by such a line; nil where it is none.
    static func end(_ line: Substring) -> Int? {
        guard line.hasPrefix(endMark) else { return nil }
        let words = line.dropFirst(endMark.count).split(separator: " ")
        return words.count == 2 && words[1] == "operations" ? Int(words[0]) : nil
    }

    static func line(_ kind: Entry.Kind) -> String {
        switch kind {
        case .operation(let operation): line(operation)
        case .feature(let feature): line(feature)
        case .comment(let text): "# " + oneLine(text)
        case .failure(let failure): ScriptFailure.mark + oneLine(failure.text)
        case .judgement(let judgement): Judgement.mark + oneLine(judgement.text)
        case .scenario(let key, let text): scenarioMark + oneLine("\(key): \(text)")
        }
    }

    static func oneLine(_ text: String) -> String {
        PrintableText.line(text.unicodeScalars.contains("\n") ? String(text.map { $0.isNewline ? " " : $0 }) : text)
    }

    /// An operation as it stands in a record, with how long it took.
    public static func line(_ operation: Operation) -> String {
        let time = secondsText(nanoseconds: operation.duration)
        let times = operation.times > 1 ? " after \(operation.times) times" : ""
        return operation.text(WholeNames()) + " <\(time)>" + times
    }

    /// "feature DMA_BUF_TPH number=13 size=8 revision=v2 dmabuf_fd=0:4:fd ...": the ABI is data.
    static func line(_ feature: Feature) -> String {
        let layout = feature.layout ?? Layout(size: 0, [])
        let fields = layout.fields.map { field in
            " \(field.name)=\(field.offset):\(field.size)" + kind(of: field.format)
        }
        let revision = feature.revision.map { " revision=\($0)" } ?? ""
        return "feature \(feature.name) number=\(feature.number) size=\(layout.size)\(revision)" + fields.joined()
    }
}

extension Record {
    /// ":fd", ":names(bidirectional=0|requester=1)", ":flags(ST=1|ST_EXT=2)", or nothing.
    private static func kind(of format: Format) -> String {
        func list(_ names: [Format.Flag]) -> String {
            names.map { "\($0.name)=\($0.value)" }.joined(separator: "|")
        }
        switch format {
        case .descriptor: return ":fd"
        case .names(let names): return ":names(\(list(names)))"
        case .flags(let names): return ":flags(\(list(names)))"
        default: return ""
        }
    }

    /// The format that such a kind is; nil for none.
    static func format(_ kind: Substring) -> Format? {
        if kind == "fd" { return .descriptor }
        guard let open = kind.firstIndex(of: "("), kind.last == ")" else { return nil }
        var names: [Format.Flag] = []
        for part in kind[kind.index(after: open)...].dropLast().split(separator: "|") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, RecordParser.isWord(pair[0]), let value = Int(pair[1]), value >= 0 else {
                return nil
            }
            names.append(.init(value, String(pair[0])))
        }
        switch kind[..<open] {
        case "names": return .names(names)
        case "flags": return .flags(names)
        default: return nil
        }
    }
}

/// Writes numbers as digits (names are symbols already) and all bytes and elements, however many.
struct WholeNames: OperationNames {
    var limits: (bytes: Int, elements: Int) { (.max, .max) }
    func name(of value: UInt64, _ format: Format, in operation: Operation, isResult: Bool) -> String? { nil }
}

/// What of an operation is kept.
extension Operation {
    /// Bytes of output data above which only a digest (FNV-1a) is stored, enough to tell that data differs.
    private static let longestOutput = 64
    /// Bytes of input data above which only a digest is stored; such a call cannot be replayed with its data. Stores to mapped
    /// memory have a lower limit, because traffic tests fill much memory.
    private static let longestInput = 16384
    private static let longestStore = 4096

    /// With digests for data that is too long.
    func shortened() -> Operation {
        var result = self
        for (index, parameter) in signature.parameters.enumerated() where index < arguments.count {
            guard case .bytes(let bytes) = arguments[index] else { continue }
            let input = signature.name == "store" ? Operation.longestStore : Operation.longestInput
            let longest = parameter.isOutput ? Operation.longestOutput : input
            if bytes.count > longest, !Operation.isPlain(bytes) {
                result.arguments[index] = .digest(FNV1a(bytes).value, bytes.count)
            }
        }
        return result
    }

    /// Data of one repeated byte is written as a run ("00*16"), so it is kept at any length.
    private static func isPlain(_ bytes: [UInt8]) -> Bool { bytes.allSatisfy { $0 == bytes.first } }

    /// Whether data that went in is not kept.
    var lacksData: Bool {
        zip(signature.parameters, arguments).contains { parameter, value in
            if case .digest = value { !parameter.isOutput } else { false }
        }
    }
}
