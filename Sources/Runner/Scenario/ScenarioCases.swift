import LuaKit

extension Scenario {
    private static let form = "{ \"what is shown\", function(t, opt) ... end }"

    /// `cases`: a list of names and functions, or a table of functions by name, where the order is unambiguous.
    static func cases(_ value: LuaValue?, _ functions: FunctionTable) throws(ErrorValue) -> [Case] {
        switch value {
        case .list(let elements)?: return try listed(elements, functions.listed)
        case .table(let table)? where !table.isEmpty: return try named(table, functions.named)
        case nil, .table?: throw refusal("'cases' must be a list, of which each element is \(form)")
        case let other?:
            throw refusal("'cases' must be a list, of which each element is \(form), not a \(other.typeName)")
        }
    }

    private static func refusal(_ message: String) -> ErrorValue { ErrorValue(kind: .script, message) }

    private static func listed(_ elements: [LuaValue], _ functions: [Int: LuaFunction]) throws(ErrorValue) -> [Case] {
        var cases: [Case] = []
        var names: Set<String> = []
        for (index, element) in elements.enumerated() {
            guard case .list(let pair) = element, pair.count == 2, case .string(let name) = pair[0], !name.isEmpty,
                let function = functions[index]
            else { throw refusal("cases[\(index + 1)] must be \(form), not \(shown(element))") }
            guard names.insert(name).inserted else {
                throw refusal("cases[\(index + 1)]: there is a case \"\(name)\" already")
            }
            cases.append(Case(name: name, function: function))
        }
        return cases
    }

    private static func shown(_ element: LuaValue) -> String {
        switch element {
        case .list(let parts): "{ \(parts.map { "a \($0.typeName)" }.joined(separator: ", ")) }"
        default: "a \(element.typeName)"
        }
    }

    /// Cases in the order of the lines on which their functions are defined: Lua tables keep no order of names.
    private static func named(_ table: [String: LuaValue], _ functions: [String: LuaFunction]) throws(ErrorValue)
        -> [Case]
    {
        for (name, value) in table.sorted(by: { $0.key < $1.key }) where functions[name] == nil {
            throw refusal("cases[\"\(name)\"] must be a function, not a \(value.typeName)")
        }
        let cases = functions.map { Case(name: $0.key, function: $0.value) }
            .sorted { ($0.function.line, $0.name) < ($1.function.line, $1.name) }
        for (one, next) in zip(cases, cases.dropFirst()) {
            guard one.function.line == next.function.line || one.function.source != next.function.source else {
                continue
            }
            let reason =
                one.function.source == next.function.source
                ? "their functions are defined on one line" : "their functions are of different files"
            throw refusal(
                "the order of the cases \"\(one.name)\" and \"\(next.name)\" is not known: a table of names has none, and "
                    + "\(reason). Make 'cases' a list: cases = { { \"\(one.name)\", function(t, opt) ... end }, ... }, or "
                    + "cases[#cases + 1] = { name, f }")
        }
        return cases
    }
}
