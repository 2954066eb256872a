import LuaKit

/// Holds the arguments of calls against descriptions, by the rules that CLuaShims applies when the call is made.
extension Checker {
    /// Where an argument is: "'ranges[1].offset'".
    struct Path {
        var text: String
        func key(_ name: String) -> Path { Path(text: text.isEmpty ? name : "\(text).\(name)") }
        func element(_ index: Int) -> Path { Path(text: "\(text)[\(index)]") }
    }

    /// Checks the arguments of a described function. `receiver` is what stands before the colon.
    func check(
        _ function: Function, named name: String, _ arguments: [Expression], _ types: [ValueType], receiver: ValueType?,
        _ place: Place
    ) {
        var parameters = function.parameters
        let takesCase = parameters.first?.name == "case"
        if receiver != nil {
            if takesCase { parameters.removeFirst() }
        } else if takesCase {
            return report(
                place, "\(name): it has no case here; call it with a colon, t:\(function.name)(...)",
                unless: {
                    if case .module(let module)? = types.first { return module.name == "case" }
                    return types.first.map { $0.typeName == nil || $0.typeName == "table" } ?? false
                })
        }
        let isOpen = arguments.last?.isOpen ?? false
        let given = arguments.count - (isOpen ? 1 : 0)
        if given > parameters.count {
            let count = parameters.count
            let unwanted = arguments[min(count, arguments.count - 1)].place
            report(unwanted, "\(name): takes \(count) argument\(count == 1 ? "" : "s"), not \(given)")
        }
        for (index, parameter) in parameters.enumerated() {
            if index < arguments.count, !(isOpen && index == arguments.count - 1 && types.count <= index) {
                check(arguments[index], types[index], parameter, Path(text: parameter.name), name)
            } else if index >= arguments.count, !isOpen, case .required = parameter.fallback {
                report(place, "\(name): '\(parameter.name)' is missing; it must be \(Checker.wanted(parameter.type))")
                return
            }
        }
    }

    private func check(
        _ expression: Expression, _ type: ValueType, _ parameter: Parameter, _ path: Path, _ function: String
    ) {
        if case .nil = type {
            if case .required = parameter.fallback {
                let wanted = Checker.wanted(parameter.type)
                report(expression.place, "\(function): '\(path.text)' is missing; it must be \(wanted)")
            }
            return
        }
        check(expression, type, parameter.type, path, function)
    }

    /// Checks a value against a type.
    func check(_ expression: Expression, _ type: ValueType, _ wanted: LuaType, _ path: Path, _ function: String) {
        func refuse(_ reason: String) { report(expression.place, "\(function): '\(path.text)' \(reason)") }
        func wrongType() {
            refuse("must be \(Checker.wanted(wanted)), not a \(type.typeName ?? "value of another type")")
        }
        func within(_ value: Int64, _ range: ClosedRange<Int64>) {
            guard !range.contains(value) else { return }
            refuse("must be \(range.lowerBound) to \(range.upperBound), not \(value)")
        }
        if case .unknown = type { return }
        switch wanted {
        case .integer(let range):
            switch type {
            case .integer(let value): if let value { within(value, range) }
            case .number(let value): if let value, Int64(exactly: value) == nil { wrongType() }
            case .string(let text?):
                refuse(
                    "must be \(Checker.wanted(wanted)), not '\(text)'"
                        + (isNumber(text) ? "; tonumber makes a number of text" : ""))
            default: wrongType()
            }
        case .size(let range), .time(let range):
            switch type {
            case .integer(let value): if let value { within(value, range) }
            case .number(let value): if let value, Int64(exactly: value) == nil { wrongType() }
            case .string(let text):
                guard let text else { return }
                let isTime = if case .time = wanted { true } else { false }
                guard let value = isTime ? parseTime(text) : parseSize(text) else {
                    return refuse("must be \(Checker.wanted(wanted)), not '\(text)'")
                }
                within(value, range)
            default: wrongType()
            }
        case .number:
            switch type {
            case .integer, .number: break
            default: wrongType()
            }
        case .boolean: if case .boolean = type {} else { wrongType() }
        case .string(let range):
            guard case .string(let text) = type else { return wrongType() }
            if let text, !range.contains(text.utf8.count) {
                refuse("must be \(range.lowerBound) to \(range.upperBound) bytes long, not \(text.utf8.count)")
            }
        case .choice(let names):
            guard case .string(let text) = type else { return wrongType() }
            if let text { check(name: text, of: names.map(\.name), expression.place, path, function) }
        case .flags(let names): checkFlags(expression, type, names.map(\.name), path, function)
        case .object(let name):
            guard case .object(let given) = type, given == name else { return wrongType() }
        case .record(let keys): checkRecord(expression, type, keys, path, function)
        case .list(let element, let range): checkList(expression, type, element, range, path, function)
        case .any: break
        }
    }

    private func check(name: String, of names: [String], _ place: Place, _ path: Path, _ function: String) {
        guard !names.contains(name) else { return }
        report(
            place,
            "\(function): '\(path.text)' must be one of \(names.joined(separator: ", ")), not '\(name)'"
                + suggestion(name, names))
    }

    private func checkFlags(
        _ expression: Expression, _ type: ValueType, _ names: [String], _ path: Path, _ function: String
    ) {
        guard let items = elements(of: expression)?.items else {
            if ["table", nil].contains(type.typeName) { return }
            return report(
                expression.place,
                "\(function): '\(path.text)' must be a list of names, not a \(type.typeName ?? ""); write { \"\(names.first ?? "")\" }"
            )
        }
        for (index, item) in items.enumerated() {
            switch item {
            case .positional(let value):
                switch value.type {
                case .string(let text?): check(name: text, of: names, value.place, path.element(index + 1), function)
                case .string, .unknown: break
                case let other:
                    report(
                        value.place,
                        "\(function): '\(path.element(index + 1).text)' must be a name, not a \(other.typeName ?? "")")
                }
            case .named(let key, let place, _):
                let hint = names.contains(key) ? "; write { \"\(key)\" }" : ""
                report(place, "\(function): '\(path.text)' must be a list of names, and has the key '\(key)'\(hint)")
            case .keyed: break
            }
        }
    }

    /// What a table has where a call gets it: a constructor, or a variable that was declared with one, with what is
    /// certainly assigned to its fields before. nil for others; `isWhole`: whether it has nothing else.
    func elements(of expression: Expression) -> (items: [Expression.Item], isWhole: Bool)? {
        if let items = expression.givenItems { return (items, true) }
        guard case .local(let variable) = expression.kind, variable.writes == 0, let value = variable.value,
            let items = value.givenItems, case .table(let shape) = expression.type, shape === value.shape,
            !shape.isLost,
            !shape.hasMoreElements
        else { return nil }
        let stores = shape.stores.sorted { $0.key < $1.key }
        let names = stores.map(\.value.name)
        var known = items.filter { item in
            if case .named(let name, _, _) = item { return !names.contains(name) }
            return true
        }
        var isWhole = !shape.isShared
        for (place, store) in stores {
            let isNil = if case .nil = store.value.type { true } else { false }
            let isOnly = names.count { $0 == store.name } == 1
            if isOnly, !isNil, place < expression.place, blocks.contains(store.block) {
                known.append(.named(store.name, place, store.value))
            } else {
                isWhole = false
            }
        }
        return (known, isWhole)
    }

    private func checkRecord(
        _ expression: Expression, _ type: ValueType, _ keys: [any TableKey], _ path: Path, _ function: String
    ) {
        guard let (items, isConstructed) = elements(of: expression) else {
            if !["table", nil].contains(type.typeName) {
                report(expression.place, "\(function): '\(path.text)' must be a table, not a \(type.typeName ?? "")")
            }
            return
        }
        var given: Set<String> = []
        var isWhole = isConstructed
        for (index, item) in items.enumerated() {
            switch item {
            case .positional(let value):
                if value.isOpen { continue }
                report(
                    value.place,
                    "\(function): '\(path.text)' has an element [\(index + 1)] without a name; its keys are names, '\(keys.first?.name ?? "")' for one"
                )
            case .keyed(let key, let value):
                guard case .string(let name?) = key.type else {
                    isWhole = false
                    continue
                }
                given.insert(name)
                check(key: name, key.place, value, keys, path, function)
            case .named(let name, let place, let value):
                given.insert(name)
                check(key: name, place, value, keys, path, function)
            }
        }
        guard isWhole else { return }
        for key in keys where !given.contains(key.name) {
            guard case .required = key.parameter.fallback else { continue }
            // One that has its old name is told already.
            if let was = key.parameter.was, given.contains(was) { continue }
            report(
                expression.place,
                "\(function): '\(path.key(key.name).text)' is missing; it must be \(Checker.wanted(key.type))")
        }
    }

    private func check(
        key name: String, _ place: Place, _ value: Expression, _ keys: [any TableKey], _ path: Path, _ function: String
    ) {
        if let key = keys.first(where: { $0.name == name }) {
            return check(value, value.type, key.parameter, path.key(name), function)
        }
        if let renamed = keys.first(where: { $0.parameter.was == name }) {
            return report(
                place,
                "\(function): unknown key '\(name)' in '\(path.text)': since version 0.2 it is called '\(renamed.name)'"
            )
        }
        report(
            place, "\(function): unknown key '\(name)' in '\(path.text)'" + suggestion(name, keys.map(\.name)))
    }

    private func checkList(
        _ expression: Expression, _ type: ValueType, _ element: LuaType, _ range: ClosedRange<Int64>, _ path: Path,
        _ function: String
    ) {
        guard let (items, isConstructed) = elements(of: expression) else {
            if !["table", nil].contains(type.typeName) {
                report(
                    expression.place,
                    "\(function): '\(path.text)' must be \(Checker.wanted(.list(element, range))), not a \(type.typeName ?? "")"
                )
            }
            return
        }
        var count: Int64 = 0
        var isWhole = isConstructed
        for item in items {
            switch item {
            case .positional(let value):
                if value.isOpen { isWhole = false }
                count += 1
                check(value, value.type, element, path.element(Int(count)), function)
            case .keyed: isWhole = false
            case .named(let key, let place, _):
                isWhole = false
                var hint = ""
                if case .record(let keys) = element, keys.contains(where: { $0.name == key }) {
                    hint = "; write { { \(key) = ... } }, a table for each element"
                }
                return report(place, "\(function): '\(path.text)' must be a list, and has the key '\(key)'\(hint)")
            }
        }
        if isWhole, !range.contains(count) {
            report(
                expression.place,
                "\(function): '\(path.text)' must have \(range.lowerBound) to \(range.upperBound) elements, not \(count)"
            )
        }
    }

    func suggestion(_ word: String, _ known: some Sequence<String>) -> String {
        nearest(to: word, in: known).map { "; did you mean '\($0)'?" } ?? ""
    }

    /// A type in a message.
    static func wanted(_ type: LuaType) -> String {
        switch type {
        case .integer: "an integer"
        case .size: "a size (an integer, or text such as \"64K\": K, M, G, T)"
        case .time: "a time (milliseconds as an integer, or text such as \"30s\": ms, s, m, h)"
        case .number: "a number"
        case .boolean: "true or false"
        case .string: "a string"
        case .choice(let names): "one of " + names.map(\.name).joined(separator: ", ")
        case .flags: "a list of names"
        case .object(let name): "a \(name)"
        case .record: "a table"
        case .list: "a list"
        case .any: "a value"
        }
    }
}

/// Whether Lua takes a text for a number.
private func isNumber(_ text: String) -> Bool {
    let digits = text.lowercased().drop { " +-".contains($0) }
    if digits.hasPrefix("0x") { return digits.dropFirst(2).allSatisfy { $0.isHexDigit || ".p+- ".contains($0) } }
    return Double(String(digits.prefix { $0 != " " })) != nil
}

extension Expression {
    /// The elements of a table constructor.
    var items: [Item]? {
        switch kind {
        case .table(let items): items
        case .parenthesised(let inner): inner.items
        default: nil
        }
    }

    /// Those that are there: an element or a name with nil is none.
    var givenItems: [Item]? {
        items?.filter { item in
            switch item {
            case .positional(let value), .named(_, _, let value), .keyed(_, let value):
                if case .nil = value.type { false } else { true }
            }
        }
    }
}
