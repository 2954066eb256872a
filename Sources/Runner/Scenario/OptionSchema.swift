import Devices
public import LuaKit

/// An option that a scenario declares.
public struct OptionSchema: Sendable {
    /// The type of its values.
    public enum Kind: Sendable {
        case integer(ClosedRange<Int64>)
        case size(ClosedRange<Int64>)
        /// Several sizes, each in this range, in the order given.
        case sizes(ClosedRange<Int64>)
        case number
        case boolean
        case string
        case choice([String])
        /// A PCI function: `auto` chooses one with that "vendor:device", or one with a memory BAR of at least that
        /// size.
        case pci(id: String?, memory: UInt64)
        /// An RDMA device: `auto` chooses the first.
        case rdma
    }

    /// The name for `--set`.
    public let name: String
    /// One sentence.
    public let about: String
    /// Its type.
    public let kind: Kind
    /// Whether its value is a device, which differs between machines.
    public var isDevice: Bool {
        switch kind {
        case .pci, .rdma: true
        case .integer, .size, .sizes, .number, .boolean, .string, .choice: false
        }
    }
    /// The value where `--set` gives none; nil where it must be given.
    public let fallback: LuaValue?

    /// The type as help shows it.
    public var typeText: String {
        switch kind {
        case .integer(let range), .size(let range):
            let name = if case .size = kind { "size" } else { "integer" }
            let low = range.lowerBound == Int64.min ? "" : "\(range.lowerBound)"
            let high = range.upperBound == Int64.max ? "" : "\(range.upperBound)"
            return low.isEmpty && high.isEmpty ? name : "\(name) \(low)..\(high)"
        case .sizes(let range):
            let high = range.upperBound == Int64.max ? "" : "\(range.upperBound)"
            return "sizes, such as 64,4K; each \(range.lowerBound)..\(high)"
        case .number: return "number"
        case .boolean: return "true or false"
        case .string: return "text"
        case .choice(let names): return names.joined(separator: " | ")
        case .pci(let id, _): return "PCI address or auto" + (id.map { " (\($0))" } ?? "")
        case .rdma: return "RDMA device or auto"
        }
    }

    /// A number as the user wrote it ("512K", 0x1234); nil for other types, and where only a Lua number was given.
    func written(_ settings: [(name: String, value: String)]) -> String? {
        switch kind {
        case .integer, .size, .sizes, .number: break
        default: return nil
        }
        if let setting = settings.last(where: { $0.name == name }) { return setting.value }
        if case .string(let text)? = fallback { return text }
        return nil
    }

    /// A number in one canonical form; nil where it is not a number.
    func plain(_ value: LuaValue) -> String? {
        switch (kind, value) {
        case (.number, .number(let number)): OptionSchema.plain(number)
        case (.integer, _), (.size, _), (.number, _): plainText(value)
        case (.sizes, .list(let sizes)): sizes.map(plainText).joined(separator: ",")
        default: nil
        }
    }

    /// The same for a text of `--set`; nil where it is not a number.
    public static func plainNumber(_ text: String) -> String? {
        (parseSize(text) ?? Int64(text)).map { String($0) } ?? Double(text).map(plain)
    }

    private static func plain(_ number: Double) -> String { Int64(exactly: number).map { String($0) } ?? "\(number)" }

    /// Parses a value of the command line.
    func parse(_ text: String) throws(ErrorValue) -> LuaValue {
        switch kind {
        case .integer(let range), .size(let range):
            guard let value = parseSize(text) ?? Int64(text) else {
                var error = refuse(text, "must be \(typeText)")
                if case .size = kind { error.message += nearSize(text) }
                throw error
            }
            return try check(.integer(value), in: range, text)
        case .sizes(let range):
            let parts = text.split(separator: ",", omittingEmptySubsequences: false)
            guard parts.count <= OptionSchema.mostSizes else {
                throw refuse(text, "has at most \(OptionSchema.mostSizes) sizes")
            }
            var sizes: [LuaValue] = []
            for part in parts {
                guard let value = parseSize(String(part)) ?? Int64(part) else {
                    var error = refuse(text, "must be \(typeText)")
                    error.message += nearSize(String(part))
                    throw error
                }
                let size = try check(.integer(value), in: range, String(part))
                guard !sizes.contains(size) else { throw refuse(text, "has each size once") }
                sizes.append(size)
            }
            return .list(sizes)
        case .number:
            guard let value = Double(text) else { throw refuse(text, "must be a number") }
            return .number(value)
        case .boolean:
            guard text == "true" || text == "false" else { throw refuse(text, "must be true or false") }
            return .boolean(text == "true")
        case .string: return .string(text)
        case .choice(let names):
            guard names.contains(text) else {
                var error = refuse(text, "must be one of \(names.joined(separator: ", "))")
                if let near = nearest(to: text, in: names) { error.message += "; did you mean '\(near)'?" }
                throw error
            }
            return .string(text)
        case .rdma: return .string(text)
        case .pci:
            if text == "auto" { return .string(text) }
            guard let address = PCIAddress(text) else {
                throw refuse(text, "must be auto or a PCI address such as 0000:3b:00.0")
            }
            return .string("\(address)")
        }
    }

    private func check(_ value: LuaValue, in range: ClosedRange<Int64>, _ text: String) throws(ErrorValue) -> LuaValue {
        guard case .integer(let number) = value, range.contains(number) else {
            throw refuse(text, "must be \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private func refuse(_ text: String, _ rule: String) -> ErrorValue {
        ErrorValue(kind: .usage, "option '\(name)' \(rule), not '\(text)'")
    }
}

extension OptionSchema {
    private static let mostSizes = 64
    static let types = ["integer", "size", "sizes", "number", "boolean", "string", "enum", "pci", "rdma"]
    static let keys: Set<String> = ["type", "default", "about", "min", "max", "values", "id", "memory"]

    /// From one entry of a scenario's `options` table.
    public init(_ name: String, _ value: LuaValue) throws(ErrorValue) {
        guard case .table(let fields) = value else {
            throw ErrorValue(kind: .script, "options.\(name) must be a table, not a \(value.typeName)")
        }
        for key in fields.keys.sorted() where !OptionSchema.keys.contains(key) {
            throw unknownKey(key, in: "options.\(name)", of: OptionSchema.keys)
        }
        self.name = name
        about = if case .string(let text)? = fields["about"] { text } else { "" }
        kind = try OptionSchema.kind(name, fields)
        fallback = fields["default"]
        if let fallback { try checkFallback(fallback) }
    }

    private static func kind(_ name: String, _ fields: [String: LuaValue]) throws(ErrorValue) -> Kind {
        func bound(_ key: String, _ other: Int64) throws(ErrorValue) -> Int64 {
            switch fields[key] {
            case nil: return other
            case .integer(let value)?: return value
            case .string(let text)?:
                if let value = parseSize(text) { return value }
                throw ErrorValue(kind: .script, "options.\(name).\(key) must be a number, not '\(text)'")
            case let value?:
                throw ErrorValue(kind: .script, "options.\(name).\(key) must be a number, not a \(value.typeName)")
            }
        }
        guard case .string(let type)? = fields["type"] else {
            throw ErrorValue(
                kind: .script,
                "options.\(name).type is missing: one of \(types.joined(separator: ", "))")
        }
        switch type {
        case "integer", "size", "sizes":
            let low = try bound("min", type == "integer" ? Int64.min : 0)
            let high = try bound("max", Int64.max)
            guard low <= high else { throw ErrorValue(kind: .script, "options.\(name): min is above max") }
            return type == "size" ? .size(low...high) : type == "sizes" ? .sizes(low...high) : .integer(low...high)
        case "number": return .number
        case "boolean": return .boolean
        case "string": return .string
        case "enum":
            guard case .list(let values)? = fields["values"] else {
                throw ErrorValue(kind: .script, "options.\(name).values must list the names of the enum")
            }
            return .choice(values.compactMap { if case .string(let text) = $0 { text } else { nil } })
        case "pci":
            let id: String? = if case .string(let text)? = fields["id"] { text } else { nil }
            let memory = try bound("memory", 4096)
            guard memory >= 0 else {
                throw ErrorValue(kind: .script, "options.\(name).memory must be 0 or more, not \(memory)")
            }
            return .pci(id: id, memory: UInt64(memory))
        case "rdma": return .rdma
        default:
            let near = nearest(to: type, in: types)
            throw ErrorValue(
                kind: .script,
                "options.\(name).type '\(type)' is unknown\(near.map { "; did you mean '\($0)'?" } ?? "")")
        }
    }

    /// Checks a default by the option's own rules.
    private func checkFallback(_ value: LuaValue) throws(ErrorValue) {
        do throws(ErrorValue) {
            switch (kind, value) {
            case (.integer(let range), .integer(let number)), (.size(let range), .integer(let number)):
                _ = try check(value, in: range, "\(number)")
            case (.number, .number), (.number, .integer), (.boolean, .boolean): break
            case (_, .string(let text)): _ = try parse(text)
            default: throw ErrorValue(kind: .script, "must be \(typeText), not a \(value.typeName)")
            }
        } catch {
            throw ErrorValue(kind: .script, "options.\(name).default: \(error.message)")
        }
    }
}

func unknownKey(_ key: String, in place: String, of known: some Collection<String>) -> ErrorValue {
    let near = nearest(to: key, in: known).map { "; did you mean '\($0)'?" } ?? ""
    return ErrorValue(
        kind: .script, "unknown key '\(key)' in \(place)\(near) (known: \(known.sorted().joined(separator: ", ")))")
}
