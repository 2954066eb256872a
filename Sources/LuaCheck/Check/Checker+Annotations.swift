import LuaKit

/// Holds calls of functions of Lua files against their annotations.
extension Checker {
    /// Checks a call of another file's function.
    func check(
        _ signature: Signature, _ arguments: [Expression], _ types: [ValueType], _ receiver: ValueType?, _ place: Place
    ) {
        if receiver == nil, signature.isMethod {
            let first = arguments.first?.type
            if first == nil || first?.typeName.map({ $0 != "table" }) ?? false {
                report(place, "\(signature.name): it is a method; call it with a colon")
            }
            return
        }
        let isOpen = arguments.last?.isOpen ?? false
        let implied = receiver != nil && !signature.isMethod ? 1 : 0
        let given = arguments.count - (isOpen ? 1 : 0) + implied
        if let most = signature.most, given > most {
            report(
                place, "\(signature.name): takes \(most) argument\(most == 1 ? "" : "s"), and \(given) are given",
                .warning)
        } else if !isOpen, given < signature.least {
            report(
                place,
                "\(signature.name): takes \(signature.least) argument\(signature.least == 1 ? "" : "s") at least, and \(given) \(given == 1 ? "is" : "are") given"
            )
        }
        guard signature.isShipped else { return }
        // What a function calls is looked at where its arguments are evaluated.
        for (index, argument) in arguments.enumerated() where Checker.calling[signature.name] != index + implied {
            guard signature.parameters.indices.contains(index + implied),
                let parameter = signature.parameters[index + implied], types.indices.contains(index)
            else { continue }
            check(argument, types[index], parameter, signature.generics, Path(text: parameter.name), signature.name)
        }
    }

    /// The result of a call of another file's function.
    func result(of signature: Signature, _ types: [ValueType], _ receiver: ValueType?) -> ValueType {
        guard let name = signature.result else { return .unknown }
        guard let least = signature.generics[name] else { return names.type(named: name) }
        // The type of the argument that has it; without one, the least that it can be.
        let implied = receiver != nil && !signature.isMethod ? 1 : 0
        guard let index = signature.parameters.firstIndex(where: { $0?.type == name }) else { return .unknown }
        let given = index - implied
        return types.indices.contains(given) ? types[given] : names.type(named: least)
    }

    private func check(
        _ expression: Expression, _ type: ValueType, _ wanted: AnnotatedField, _ generics: [String: String],
        _ path: Path, _ function: String
    ) {
        switch type {
        case .unknown: return
        case .nil:
            guard !wanted.isOptional, wanted.type != "any", generics[wanted.type] == nil else { return }
            return report(
                expression.place, "\(function): '\(path.text)' is missing; it must be \(self.wanted(wanted))")
        default: break
        }
        guard generics[wanted.type] == nil, wanted.type.utf8.count <= AnnotatedType.longest else { return }
        let alternatives = AnnotatedType.alternatives(of: wanted.type)
        if alternatives.contains(where: { takes($0, type) }) {
            noteCallback(expression, type, alternatives, generics)
            let tables = alternatives.compactMap { names.annotated[$0] }
            if tables.count == 1, let table = tables.first { checkKeys(expression, table, path, function) }
            return
        }
        let found = if case .string(let text?) = type { "'\(text)'" } else { "a \(type.typeName ?? "value")" }
        report(expression.place, "\(function): '\(path.text)' must be \(self.wanted(wanted)), not \(found)")
    }

    /// Notes what a function of the file that a shipped one gets is called with.
    private func noteCallback(
        _ expression: Expression, _ type: ValueType, _ alternatives: [String], _ generics: [String: String]
    ) {
        guard case .function(.own(let body)) = type,
            let parameters = alternatives.lazy.compactMap({ Signature.parameters(of: $0) }).first
        else { return }
        body.makeCallback(by: expression)
        called(body, parameters.map { names.type(named: generics[$0.type] ?? $0.type) })
    }

    /// Whether one type of a union takes a value, or may.
    private func takes(_ wanted: String, _ type: ValueType) -> Bool {
        switch wanted {
        case "integer":
            switch type {
            case .integer: return true
            case .number(let value): return value.map { Int64(exactly: $0) != nil } ?? true
            default: return false
            }
        case "number", "string", "boolean", "function", "table", "nil": return type.typeName == wanted
        case "true", "false": return type.typeName == "boolean"
        case "case":
            if case .module(let module) = type { return module.name == "case" }
            return false
        default: break
        }
        if wanted.hasPrefix("\"") || wanted.hasPrefix("'") {
            guard case .string(let text) = type else { return false }
            return text.map { $0 == wanted.dropFirst().dropLast() } ?? true
        }
        if wanted.hasPrefix("fun(") { return type.typeName == "function" }
        if wanted.hasPrefix("{") || wanted.hasPrefix("table<") || wanted.hasSuffix("[]") {
            return type.typeName == "table"
        }
        if let table = names.annotated[wanted] {
            guard case .instance(let given) = type else { return type.typeName == "table" }
            return names.line(of: given).contains { $0 === table }
        }
        if case .object(let name) = names.type(named: wanted) {
            if case .object(let given) = type { return given == name }
            return false
        }
        return true
    }

    /// Checks the keys of a table that stands for one of a class.
    private func checkKeys(_ expression: Expression, _ table: AnnotatedClass, _ path: Path, _ function: String) {
        let line = names.line(of: table)
        // One with methods is made by its module.
        guard line.allSatisfy(\.methods.isEmpty), let (items, isWhole) = elements(of: expression) else { return }
        let fields = line.flatMap(\.fields)
        var given: Set<String> = []
        for item in items {
            guard case .named(let name, let place, let value) = item else { return }
            given.insert(name)
            if let field = fields.first(where: { $0.name == name }) {
                check(value, value.type, field, [:], path.key(name), function)
            } else {
                report(
                    place, "\(function): unknown key '\(name)' in '\(path.text)'" + suggestion(name, fields.map(\.name))
                )
            }
        }
        guard isWhole else { return }
        for field in fields where !field.isOptional && !given.contains(field.name) {
            report(
                expression.place,
                "\(function): '\(path.key(field.name).text)' is missing; it must be \(wanted(field))")
        }
    }

    /// A type in a message.
    private func wanted(_ field: AnnotatedField) -> String {
        let alternatives = AnnotatedType.alternatives(of: field.type).filter { $0 != "nil" }
        if alternatives.allSatisfy({ $0.hasPrefix("\"") }) {
            return "one of " + alternatives.map { $0.filter { $0 != "\"" } }.joined(separator: ", ")
        }
        return alternatives.map { one in
            if one == "integer" { return "an integer" }
            if one.hasPrefix("fun(") { return "a function" }
            if one.hasPrefix("table<") { return "a table" }
            return "a \(names.type(named: one).typeName ?? one)"
        }.joined(separator: " or ")
    }
}
