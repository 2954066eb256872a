public import LuaKit

/// Stubs for lua-language-server, in stdlib/meta. A table argument is a class of its own, so that an editor completes and
/// explains its keys, and finds those that are missing.
extension Reference {
    /// A LuaLS `---@meta` file.
    public static func stubs(_ module: Module) -> String {
        var lines = [
            "---@meta \(module.name)", "-- Written by `peerlab stubs \(module.name)`.", "", "---\(module.doc)",
        ]
        lines += ["---@class \(module.name)"]
        for constant in module.constants { lines.append("---@field \(constant.name) integer \(constant.doc)") }
        lines += ["local \(module.name) = {}", ""]
        for function in module.functions {
            lines += stub(function, in: module.name, type: module.name, isMethod: false)
        }
        for description in module.classes {
            let variable = description.type.split(separator: ".").joined(separator: "_")
            lines += ["---\(description.doc)", "---@class \(description.type)", "local \(variable) = {}", ""]
            for method in description.methods {
                lines += stub(method, in: variable, type: description.type, isMethod: true)
            }
            lines += ["---Closes it; twice is harmless.", "function \(variable):close() end", ""]
        }
        for record in records(module) { lines += stub(record) }
        lines.append("return \(module.name)")
        return lines.joined(separator: "\n")
    }

    /// A function of the table `variable`, whose LuaLS type is `type`, and before it the classes of its table arguments.
    private static func stub(
        _ function: Function, in variable: String, type: String, isMethod: Bool
    ) -> [String] {
        let takesCase = function.parameters.first?.name == "case"
        let parameters = Array(function.parameters.dropFirst(takesCase ? 1 : 0))
        let owner = "\(type).\(function.name)"
        var lines = parameters.flatMap { keys($0.type, "\(owner).\($0.name)", $0.doc) }
        lines.append("---\(function.doc)")
        if let changes = changes(function) { lines.append("---Changes: \(changes).") }
        for error in function.errors { lines.append("--- * `\(error.name)`: \(error.reason)") }
        for parameter in parameters {
            let type = luaType(parameter.type, "\(owner).\(parameter.name)")
            lines.append("---@param \(parameter.name)\(mark(parameter)) \(type) \(parameter.doc)")
        }
        if !function.returns.isEmpty {
            lines.append("---@return " + function.returns.map { luaType($0) }.joined(separator: ", "))
        }
        let separator = isMethod || takesCase ? ":" : "."
        let names = parameters.map(\.name).joined(separator: ", ")
        return lines + ["function \(variable)\(separator)\(function.name)(\(names)) end", ""]
    }

    /// "?" after the name of what may be left out.
    private static func mark(_ parameter: Parameter) -> String {
        if case .required = parameter.fallback { "" } else { "?" }
    }

    /// The classes of a table argument and of those in it.
    private static func keys(_ type: LuaType, _ name: String, _ doc: String) -> [String] {
        switch type {
        case .list(let element, _): return keys(element, name, doc)
        case .record(let keys) where returned(with: keys) == nil:
            var lines = keys.flatMap { self.keys($0.type, "\(name).\($0.name)", $0.parameter.doc) }
            lines += ["---\(doc)", "---@class \(name)"]
            for key in keys {
                let parameter = key.parameter
                let type = luaType(parameter.type, "\(name).\(parameter.name)")
                lines.append("---@field \(parameter.name)\(mark(parameter)) \(type) \(parameter.doc)")
            }
            return lines + [""]
        default: return []
        }
    }

    /// The table with just these keys that a function returns, if any: it is given back as it came.
    private static func returned(with keys: [any TableKey]) -> String? {
        let names = Set(keys.map(\.name))
        return modules.lazy.flatMap { records($0) }.first { Set($0.described.map(\.name)) == names }?.name
    }

    private static func stub(_ record: any ResultRecordDescription) -> [String] {
        ["---\(record.doc)", "---@class \(record.name)"]
            + record.described.map { field in
                var (type, optional) = (field.type, "")
                if case .optional(let inner) = type { (type, optional) = (inner, "?") }
                let unit =
                    switch type {
                    case .integer(let unit), .number(let unit): unit.map { "\($0.rawValue): " } ?? ""
                    default: ""
                    }
                return "---@field \(field.name)\(optional) \(luaType(type)) \(unit)\(field.doc)"
            } + [""]
    }

    /// A type; `name` is that of the class which a table is.
    private static func luaType(_ type: LuaType, _ name: String) -> String {
        switch type {
        case .integer: return "integer"
        case .size, .time: return "integer|string"
        case .number: return "number"
        case .boolean: return "boolean"
        case .string: return "string"
        case .choice(let names): return "(" + names.map { "\"\($0.name)\"" }.joined(separator: "|") + ")"
        case .flags(let names): return "(" + names.map { "\"\($0.name)\"" }.joined(separator: "|") + ")[]"
        case .object(let name): return classType(name)
        case .record(let keys): return returned(with: keys) ?? name
        case .list(let element, _):
            let type = luaType(element, name)
            // "a|b[]" would be a, or a list of b.
            return type.contains("|") && !type.hasPrefix("(") ? "(\(type))[]" : type + "[]"
        case .any: return "any"
        }
    }
}
