public import LuaKit

/// The pages of the Lua API in Sources/Documentation.docc/LuaAPI, one a module.
extension Reference {
    /// A DocC page of a module, without a line feed at its end.
    public static func page(_ module: Module) -> String {
        var lines = [
            "# The module \(module.name)", "", cell(module.doc), "", "## Overview", "",
            "`peerlab stubs --markdown \(module.name)` writes this page from the module's description.",
        ]
        lines += section("Functions", module.functions, module.name + ".")
        if !module.constants.isEmpty {
            lines += ["", "## Constants", "", "| constant | value | what it is |", "| --- | --- | --- |"]
            lines += module.constants.map { "| `\(module.name).\($0.name)` | \($0.value) | \(cell($0.doc)) |" }
        }
        for description in module.classes {
            lines += ["", "## \(description.type)", "", cell(description.doc)]
            lines += entries(description.methods, description.short + ":")
            lines += [
                "", "### \(description.short):close()", "",
                "Closes it. `<close>` and the collector do so as well. Closing twice does nothing.",
            ]
        }
        for record in records(module) {
            lines += ["", "## \(record.name)", "", cell(record.doc), ""]
            lines += ["| field | type | what it is |", "| --- | --- | --- |"]
            lines += record.described.map { "| `\($0.name)` | \(cell(text($0.type))) | \(cell($0.doc)) |" }
        }
        let renamed = renamed(module)
        if !renamed.isEmpty {
            lines += [
                "", "## Renamed in version 0.2", "", "Scripts that use an old name are told the new one.", "",
                "| of | was | is |", "| --- | --- | --- |",
            ]
            lines += renamed.map { "| `\($0.owner)` | `\($0.was)` | `\($0.name)` |" }
        }
        return lines.joined(separator: "\n")
    }

    /// Names from before version 0.2: keys by their function, methods by their class, fields by their table.
    private static func renamed(_ module: Module) -> [(owner: String, was: String, name: String)] {
        var found: [(owner: String, was: String, name: String)] = []
        func add(_ owner: String, _ members: [(name: String, was: String?)]) {
            found += members.compactMap { member in member.was.map { (owner: owner, was: $0, name: member.name) } }
        }
        func keys(_ type: LuaType) -> [Parameter] {
            switch type {
            case .record(let fields): fields.map(\.parameter) + fields.flatMap { keys($0.type) }
            case .list(let type, _): keys(type)
            default: []
            }
        }
        func add(_ functions: [Function], _ prefix: String) {
            for function in functions {
                let all = function.parameters.flatMap { keys($0.type) }
                add(prefix + function.name, all.map { (name: $0.name, was: $0.was) })
            }
        }
        add(module.functions, module.name + ".")
        for description in module.classes {
            add(description.type, description.methods.map { (name: $0.name, was: $0.was) })
            add(description.methods, description.short + ":")
        }
        for record in records(module) { add(record.name, record.members) }
        return found
    }

    private static func section(_ title: String, _ functions: [Function], _ prefix: String) -> [String] {
        functions.isEmpty ? [] : ["", "## \(title)"] + entries(functions, prefix)
    }

    private static func entries(_ functions: [Function], _ prefix: String) -> [String] {
        functions.flatMap { function in
            var lines = [
                "", "### \(prefix)\(function.name)", "", "`\(signature(function, prefix))`", "", cell(function.doc),
            ]
            let arguments = function.parameters.flatMap { rows($0, path: $0.name) }
            if !arguments.isEmpty {
                lines += ["", "| argument | type | what it is |", "| --- | --- | --- |"] + arguments
            }
            if let changes = changes(function) { lines += ["", "Changes: \(changes)."] }
            if !function.errors.isEmpty { lines += [""] + function.errors.map { "- `\($0.name)`: \(cell($0.reason))" } }
            return lines
        }
    }

    /// A row for a parameter, and one for each key of a table, named by its path.
    private static func rows(_ parameter: Parameter, path: String) -> [String] {
        let row = "| `\(path)` | \(cell(text(parameter.type))) | \(cell(parameter.doc)) |"
        switch parameter.type {
        case .record(let fields): return [row] + fields.flatMap { rows($0.parameter, path: "\(path).\($0.name)") }
        case .list(.record(let fields), _):
            return [row] + fields.flatMap { rows($0.parameter, path: "\(path)[].\($0.name)") }
        default: return [row]
        }
    }

    /// Escapes Markdown in the text of a cell or paragraph. An underscore within a word is no markup.
    private static func cell(_ text: String) -> String {
        let characters = Array(text)
        var escaped = ""
        for (index, character) in characters.enumerated() {
            let isWithinWord =
                character == "_" && index > 0 && index + 1 < characters.count
                && (characters[index - 1].isLetter || characters[index - 1].isNumber)
                && (characters[index + 1].isLetter || characters[index + 1].isNumber)
            if "\\|<>*_[]`#".contains(character) && !isWithinWord { escaped.append("\\") }
            escaped.append(character)
        }
        return escaped
    }
}
