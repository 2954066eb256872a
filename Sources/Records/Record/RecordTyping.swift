import Kernel

/// Turns scanned words into values, using the formats of `Signature` and `Request`.
struct RecordTyping {
    let scanner: RecordScanner
    /// Of structures.
    private let members: [String: Signature.Member]

    init(_ scanner: RecordScanner, of signature: Signature) {
        self.scanner = scanner
        members = signature.members
    }

    /// A number must be one of its type's; without a type any does, as of what came out.
    func value(
        _ node: RecordScanner.Node, _ format: Format, name: String = "", type: IntegerType? = nil
    ) throws(RecordError) -> Operation.Value {
        switch node {
        case .word(let word):
            let value = try self.word(word, format)
            if let type { try check(value, type, name, word) }
            return value
        case .text(let text): return .text(text)
        case .bytes(let bytes): return .bytes(bytes)
        case .pointer(let bytes): return .pointer(bytes, 0)
        case .digest(let hash, let count): return .digest(hash, count)
        case .list(let nodes):
            var values: [Operation.Value] = []
            for node in nodes { values.append(try value(node, format, name: name, type: type)) }
            return .list(values)
        case .structure(let nodes):
            var values: [Operation.Member] = []
            for (inner, node) in nodes {
                let member = members["\(name).\(inner)"] ?? members[inner]
                values.append(
                    .init(inner, try value(node, member?.format ?? .hexadecimal, name: inner, type: member?.type)))
            }
            return .structure(values)
        }
    }

    /// A structure that a table describes.
    func structure(_ node: RecordScanner.Node, _ layout: Layout) throws(RecordError) -> Operation.Value {
        guard case .structure(let members) = node else { return try value(node, .hexadecimal) }
        var values: [Operation.Member] = []
        for (name, node) in members {
            if let field = layout.fields.first(where: { $0.name == name }) {
                values.append(.init(name, try value(node, field.format, name: name, type: field.type)))
            } else if case .list(let elements) = node {
                values.append(.init(name, .list(try self.elements(elements, name, layout))))
            } else {
                values.append(.init(name, try value(node, .decimal)))
            }
        }
        return .structure(values)
    }

    private func elements(
        _ nodes: [RecordScanner.Node], _ name: String, _ layout: Layout
    ) throws(RecordError) -> [Operation.Value] {
        var values: [Operation.Value] = []
        for node in nodes {
            guard case .structure(let members) = node else { throw scanner.error("'\(name)' is a list of structures") }
            let wanted = Set(members.map(\.name))
            let fields = layout.trailing.first { trailing in
                trailing.name == name && wanted.isSubset(of: trailing.fields.map(\.name))
            }
            guard let fields else { throw scanner.error("'\(name)' has no such members") }
            values.append(try structure(node, Layout(size: fields.elementSize, fields.fields)))
        }
        return values
    }

    private func check(
        _ value: Operation.Value, _ type: IntegerType, _ name: String, _ word: String
    ) throws(RecordError) {
        guard case .number(let number, _) = value else { return }
        // Of 64 bits the sign is in the text alone.
        let isNegative = word.hasPrefix("-") || word.contains("|-")
        guard type.holds(number), type.isSigned || !isNegative else {
            throw scanner.error(type.misfit(name, word.prefix(40)))
        }
    }

    private func word(_ word: String, _ format: Format) throws(RecordError) -> Operation.Value {
        // Some names are numerals: an MTU of 1024 bytes is the number 3.
        if case .names(let names) = format, let found = names.first(where: { $0.name == word }) {
            return .number(found.value, format)
        }
        if let number = RecordTyping.number(word) { return .number(number, format) }
        switch format {
        case .flags(let names):
            if let value = RecordTyping.flags(word, names) { return .number(value, format) }
        default: break
        }
        guard let symbol = RecordTyping.symbol(word) else {
            throw scanner.error("'\(word.prefix(40))' is no number, no name of a bit, and names no object")
        }
        return symbol
    }

    static func number(_ word: some StringProtocol) -> UInt64? {
        if word.hasPrefix("0x") { return UInt64(word.dropFirst(2), radix: 16) }
        if word.hasPrefix("-") { return Int64(word).map { UInt64(bitPattern: $0) } }
        return word.first?.isNumber == true ? UInt64(word) : nil
    }

    private static func flags(_ word: String, _ names: [Format.Flag]) -> UInt64? {
        var value: UInt64 = 0
        for part in word.split(separator: "|", omittingEmptySubsequences: false) {
            if let number = number(part) {
                value |= number
            } else {
                guard let flag = names.first(where: { $0.name == part }) else { return nil }
                value |= flag.value
            }
        }
        return value
    }

    /// "mr1", "mr1.lkey", "map1+0x10"
    private static func symbol(_ word: String) -> Operation.Value? {
        let parts = word.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first, Symbols.isName(name) else { return nil }
        guard parts.count == 2 else { return .symbol(String(name), 0) }
        return number(parts[1]).map { .symbol(String(name), $0) }
    }
}
