public import LuaKit

/// Texts made from the descriptions of the Lua functions: help, and stubs for editors.
public enum Reference {
    /// What `peerlab help MODULE` prints.
    public static func lines(_ module: Module) -> [String] {
        var lines = ["module \(module.name): \(module.doc)", ""]
        for function in module.functions { lines += self.lines(function, "\(module.name).") }
        for constant in module.constants {
            lines.append("\(module.name).\(constant.name) = \(constant.value)  \(constant.doc)")
        }
        for description in module.classes {
            lines += ["", "\(description.type): \(description.doc)", ""]
            for method in description.methods { lines += self.lines(method, "\(description.short):") }
            lines.append("\(description.short):close()")
            lines.append("    Closes it; <close> and the collector do so too. Twice is harmless.")
        }
        return lines
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
        let result = function.returns.map { " -> \($0)" } ?? ""
        return "\(prefix)\(function.name)(\(arguments.joined(separator: ", ")))\(result)"
    }

    /// The effects by name; nil where there are none.
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
            for field in fields { lines += self.lines(field, indent + "  ") }
        default: break
        }
        return lines
    }

    /// A type as help shows it.
    static func text(_ type: LuaType) -> String {
        switch type {
        case .integer(let range) where range.lowerBound == Int64.min: return "integer"
        case .integer(let range): return "integer \(range.lowerBound)..\(range.upperBound)"
        case .size: return "size"
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

    /// A LuaLS `---@meta` file.
    public static func stubs(_ module: Module) -> String {
        var lines = [
            "---@meta \(module.name)", "-- Written by `peerlab stubs \(module.name)`.", "", "---\(module.doc)",
        ]
        lines += ["---@class \(module.name)"]
        for constant in module.constants { lines.append("---@field \(constant.name) integer \(constant.doc)") }
        lines += ["local \(module.name) = {}", ""]
        for function in module.functions { lines += stub(function, "\(module.name).") }
        for description in module.classes {
            let variable = description.type.split(separator: ".").joined(separator: "_")
            lines += ["---\(description.doc)", "---@class \(description.type)", "local \(variable) = {}", ""]
            for method in description.methods { lines += stub(method, "\(variable):") }
            lines += ["---Closes it; twice is harmless.", "function \(variable):close() end", ""]
        }
        lines.append("return \(module.name)")
        return lines.joined(separator: "\n")
    }

    private static func stub(_ function: Function, _ prefix: String) -> [String] {
        var lines = ["---\(function.doc)"]
        for parameter in function.parameters {
            var optional = "?"
            if case .required = parameter.fallback { optional = "" }
            lines.append("---@param \(parameter.name)\(optional) \(luaType(parameter.type)) \(parameter.doc)")
        }
        if let returns = function.returns { lines.append("---@return \(returns)") }
        let names = function.parameters.map(\.name).joined(separator: ", ")
        return lines + ["function \(prefix)\(function.name)(\(names)) end", ""]
    }

    private static func luaType(_ type: LuaType) -> String {
        switch type {
        case .integer: return "integer"
        case .size: return "integer|string"
        case .number: return "number"
        case .boolean: return "boolean"
        case .string: return "string"
        case .choice(let names): return "(" + names.map { "\"\($0.name)\"" }.joined(separator: "|") + ")"
        case .flags(let names): return "(" + names.map { "\"\($0.name)\"" }.joined(separator: "|") + ")[]"
        case .object(let name): return classTypes[name] ?? "userdata"
        case .record(let fields):
            let parts = fields.map { field in
                var optional = "?"
                if case .required = field.fallback { optional = "" }
                return "\(field.name)\(optional): \(luaType(field.type))"
            }
            return "{ " + parts.joined(separator: ", ") + " }"
        case .list(let element, _): return luaType(element) + "[]"
        case .any: return "any"
        }
    }

    private static let classTypes = Dictionary(
        uniqueKeysWithValues: modules.flatMap(\.classes).map { ($0.name, $0.type) })
}
