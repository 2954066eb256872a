public import LuaKit

/// One name that a Lua module has, with what help says of it.
public struct ReferenceEntry: Sendable {
    /// "vfio.open", "device:region_info", "vfio.region_info.size"
    public let name: String
    /// Its own lines.
    public let lines: [String]
    /// Methods of a class, fields of a table.
    public let members: [ReferenceEntry]

    /// An entry.
    public init(_ name: String, _ lines: [String], _ members: [ReferenceEntry] = []) {
        self.name = name
        self.lines = lines
        self.members = members
    }

    /// Its lines and those of its members.
    public var text: [String] {
        members.isEmpty ? lines : [""] + lines + [""] + members.flatMap(\.text)
    }

    /// Itself and its members.
    public var all: [ReferenceEntry] { [self] + members.flatMap(\.all) }
}

/// Texts made from the descriptions of the Lua functions: help, and stubs for editors.
public enum Reference {
    /// The output of `peerlab help MODULE`.
    public static func lines(_ module: Module) -> [String] {
        ["module \(module.name): \(module.doc)", ""] + entries(module).flatMap(\.text)
    }

    /// All that has a name in a module: functions, constants, classes with their methods, tables with their fields.
    public static func entries(_ module: Module) -> [ReferenceEntry] {
        var entries = module.functions.map {
            ReferenceEntry("\(module.name).\($0.name)", lines($0, "\(module.name)."))
        }
        entries += module.constants.map {
            let name = "\(module.name).\($0.name)"
            return ReferenceEntry(name, ["\(name) = \($0.value)  \($0.doc)"])
        }
        entries += module.classes.map { description in
            let name = description.short
            let methods = description.methods.map { ReferenceEntry("\(name):\($0.name)", lines($0, "\(name):")) }
            let close = [
                "\(name):close()", "    Closes it; <close> and the collector do so too. Twice is harmless.",
            ]
            return ReferenceEntry(
                description.type, ["\(description.type): \(description.doc)"],
                methods + [ReferenceEntry("\(name):close", close)])
        }
        entries += records(module).map { record in
            ReferenceEntry(
                record.name, ["\(record.name): \(record.doc)"],
                record.described.map {
                    ReferenceEntry(
                        "\(record.name).\($0.name)", ["    \($0.name): \(text($0.type)), \($0.doc)"])
                })
        }
        return entries
    }

    private static func lines(_ function: Function, _ prefix: String) -> [String] {
        var lines = [signature(function, prefix), "    \(function.doc)"]
        for parameter in function.parameters { lines += self.lines(parameter, "    ") }
        if let changes = changes(function) { lines.append("    changes: \(changes)") }
        for error in function.errors { lines.append("    \(error.name): \(error.reason)") }
        return lines
    }

    /// `vfio.open(address, [options]) -> vfio.device`; `prefix` is "vfio." or "device:".
    static func signature(_ function: Function, _ prefix: String) -> String {
        let arguments = function.parameters.map { parameter in
            if case .required = parameter.fallback { parameter.name } else { "[\(parameter.name)]" }
        }
        let types = function.returns.map { text($0) }.joined(separator: ", ")
        let result = types.isEmpty ? "" : " -> \(types)"
        return "\(prefix)\(function.name)(\(arguments.joined(separator: ", ")))\(result)"
    }

    /// Names of the function's effects; nil where there are none.
    static func changes(_ function: Function) -> String? {
        if function.effects.isEmpty { return nil }
        let selected = function.selectedEffects.map { selected in
            "; where \(selected.parameter) is \(selected.value): "
                + selected.effects.map(\.rawValue).joined(separator: ", ")
        }
        return function.effects.map(\.rawValue).joined(separator: ", ") + (selected ?? "")
    }

    private static func lines(_ parameter: Parameter, _ indent: String) -> [String] {
        var lines = ["\(indent)\(parameter.name): \(text(parameter.type)), \(parameter.doc)"]
        switch parameter.type {
        case .record(let fields), .list(.record(let fields), _):
            for field in fields { lines += self.lines(field.parameter, indent + "  ") }
        default: break
        }
        return lines
    }

    /// A type, as help shows it.
    static func text(_ type: LuaType) -> String {
        switch type {
        case .integer(let range) where range.lowerBound == Int64.min: return "integer"
        case .integer(let range): return "integer \(range.lowerBound)..\(range.upperBound)"
        case .size: return "size"
        case .time: return "time (ms)"
        case .number: return "number"
        case .boolean: return "boolean"
        case .string: return "string"
        case .choice(let names): return names.map { "\"\($0.name)\"" }.joined(separator: "|")
        case .flags(let names): return "list of " + names.map { "\"\($0.name)\"" }.joined(separator: "|")
        case .object(let name): return name
        case .record: return "table"
        case .list(let element, _): return "list of \(text(element))"
        case .any: return "any"
        }
    }

    /// Tables that a module's functions return and whose name begins with the module's, in the order of their first
    /// use.
    public static func records(_ module: Module) -> [any ResultRecordDescription] {
        var found: [any ResultRecordDescription] = []
        func add(_ type: ResultType) {
            guard let record = type.record, !found.contains(where: { $0.name == record.name }) else { return }
            found.append(record)
            for field in record.described { add(field.type) }
        }
        for function in module.functions + module.classes.flatMap(\.methods) { function.returns.forEach(add) }
        return found.filter { $0.name.hasPrefix(module.name + ".") }
    }

    /// A result's type as help shows it.
    static func text(_ type: ResultType) -> String {
        switch type {
        case .integer(let unit), .number(let unit): luaType(type) + (unit.map { " (\($0.rawValue))" } ?? "")
        case .list(let element): "list of \(text(element))"
        case .map(let element): "table of \(text(element)) by name"
        case .optional(let type): "\(text(type)) or nil"
        default: luaType(type)
        }
    }

    static func luaType(_ type: ResultType) -> String {
        switch type {
        case .integer: "integer"
        case .number: "number"
        case .boolean: "boolean"
        case .string: "string"
        case .object(let name): classType(name)
        case .record(let record): record.name
        case .list(let element): luaType(element) + "[]"
        case .map(let element): "table<string, \(luaType(element))>"
        case .optional(let type): luaType(type) + "?"
        case .any: "any"
        }
    }

    private static let classTypes = Dictionary(
        uniqueKeysWithValues: modules.flatMap(\.classes).map { ($0.name, $0.type) })

    /// The LuaLS type of an object's class, by the name of its objects.
    static func classType(_ name: String) -> String { classTypes[name] ?? "userdata" }
}
