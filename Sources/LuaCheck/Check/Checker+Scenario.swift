import LuaKit
import Runner

/// What a file's scenario declares.
final class ScenarioShape {
    /// Its options; nil where they are not written out.
    var options: OptionTypes?
    /// Where each option that is no device is declared.
    var optionPlaces: [String: Place] = [:]
    /// The effects that it declares; nil where it declares none, or where they are not written out.
    var effects: Set<Effect>?
    /// The variable that holds the list of its cases.
    var casesVariable: Variable?
    /// Whether the functions of all cases are known.
    var knowsCases = false
    /// The names of all its cases; nil where one is not known.
    var caseNames: [String]?

    /// The names of its roles; nil where it declares none, or where they are not written out.
    var roles: [String]?

    /// Options that this round has seen being read.
    var readOptions: Set<String> = []
    /// Whether the table of options goes where its reads are not seen.
    var readsAllOptions = false

    /// Forgets what each round finds anew.
    func beginRound() {
        readOptions = []
        readsAllOptions = false
    }
}

extension Checker {
    /// A table that a file returns is a scenario where it has cases, or several other keys of one.
    func checkScenario(_ value: Expression) {
        let (table, isWhole) = constructor(value)
        guard let table, let items = table.givenItems else { return }
        var entries: [(name: String, place: Place, value: Expression)] = []
        for case .named(let name, let place, let value) in items { entries.append((name, place, value)) }
        let known = entries.filter { Scenario.keys.contains($0.name) }
        guard entries.contains(where: { $0.name == "cases" }) || known.count >= 3 else { return }

        let options = entries.first { $0.name == "options" }.map { checkOptions($0.value) } ?? []
        noteRoles(entries.first { $0.name == "roles" }?.value)
        // Other entries name its cases.
        scenario.caseNames = nil
        if let cases = entries.first(where: { $0.name == "cases" }) { checkCases(cases.value) }
        for entry in entries {
            guard Scenario.keys.contains(entry.name) else {
                report(
                    entry.place,
                    "unknown key '\(entry.name)' in the scenario\(suggestion(entry.name, Scenario.keys.sorted())) (known: "
                        + "\(Scenario.keys.sorted().joined(separator: ", ")))")
                continue
            }
            check(entry.name, entry.value, options)
        }
        for case .positional(let value) in items {
            report(value.place, "a scenario is a table of names: this element has none")
        }
        if isWhole, !entries.contains(where: { $0.name == "cases" }) {
            report(table.place, "the scenario has no 'cases': a list, of which each element is \(Checker.caseForm)")
        }
    }

    /// The table constructor that an expression is, or that its variable was declared with; and whether nothing is
    /// added to it later.
    private func constructor(_ expression: Expression) -> (Expression?, isWhole: Bool) {
        if expression.items != nil { return (expression, isAsMade(expression)) }
        guard case .local(let variable) = expression.kind, variable.writes == 0, let value = variable.value,
            value.items != nil
        else { return (nil, false) }
        return (value, !variable.isChanged && isAsMade(value))
    }

    /// Whether a table has what its constructor gives it, and nothing else.
    private func isAsMade(_ constructor: Expression) -> Bool {
        guard case .table(let shape) = constructor.type else { return true }
        return !shape.isLost && !shape.isShared && !shape.hasMoreElements && shape.stores.isEmpty
    }

    // MARK: Keys

    private func check(_ key: String, _ value: Expression, _ options: [OptionSchema]?) {
        switch key {
        case "options", "cases": break
        case "matrix":
            guard let options, let items = constructor(value).0?.givenItems else { return }
            for case .named(let name, let place, let row) in items {
                guard let literal = literal(row) else { continue }
                report(Scenario.problem(with: key, .table([name: literal]), options: options), place)
            }
        case "needs", "effects", "tags", "expected_failures":
            guard let items = constructor(value).0?.givenItems else {
                if let literal = literal(value) {
                    report(Scenario.problem(with: key, literal, options: []), value.place)
                }
                return
            }
            let cases = scenario.caseNames
            for item in items {
                switch item {
                case .positional(let element):
                    guard let literal = literal(element) else { continue }
                    report(Scenario.problem(with: key, .list([literal]), options: [], cases: cases), element.place)
                case .named(let name, let place, _):
                    let (what, hint) =
                        key == "expected_failures" ? ("tables", "{ { \(name) = ... } }") : ("names", "{ \"\(name)\" }")
                    report(place, "'\(key)' must be a list of \(what), and has the key '\(name)'; write \(hint)")
                case .keyed: break
                }
            }
            if key == "effects" { noteEffects(value) }
        default:
            guard let literal = literal(value) else { return }
            report(Scenario.problem(with: key, literal, options: []), value.place)
        }
    }

    private func report(_ problem: String?, _ place: Place) {
        if let problem { report(place, problem) }
    }

    private func noteRoles(_ value: Expression?) {
        scenario.roles = nil
        guard let value, case .list(let list)? = literal(value) else { return }
        let names = list.compactMap { name in if case .string(let text) = name { text } else { nil } }
        if names.count == list.count { scenario.roles = names }
    }

    private func noteEffects(_ value: Expression) {
        guard case .list(let names)? = literal(value) ?? nil else {
            if let literal = literal(value), literal == .table([:]) { scenario.effects = [] }
            return
        }
        scenario.effects = Set(
            names.compactMap { name in
                if case .string(let text) = name { Effect(rawValue: text) } else { nil }
            })
    }

    /// Checks each option that is written out. nil where it is not known which options there are.
    private func checkOptions(_ value: Expression) -> [OptionSchema]? {
        var (table, isWhole) = constructor(value)
        var schemas: [OptionSchema] = []
        var types: [String: ValueType] = [:]
        if let made = madeOptions(value) {
            (table, isWhole) = (made.argument, made.isWhole)
            schemas = made.schemas
            for schema in schemas { types[schema.name] = ValueType(schema.kind) }
        }
        guard let items = table?.items ?? (schemas.isEmpty ? nil : []) else {
            if let literal = literal(value) {
                report(Scenario.problem(with: "options", literal, options: []), value.place)
            }
            return nil
        }
        scenario.optionPlaces = [:]
        var knowsAll = isWhole
        for item in items {
            switch item {
            case .named(let name, let place, let entry):
                types[name] = .unknown
                schemas.removeAll { $0.name == name }
                scenario.optionPlaces[name] = place
                guard let literal = literal(entry) else { continue }
                do throws(ErrorValue) {
                    let schema = try OptionSchema(name, literal)
                    schemas.append(schema)
                    types[name] = ValueType(schema.kind)
                    if schema.isDevice { scenario.optionPlaces[name] = nil }
                } catch {
                    report(self.place(of: error.message, in: entry) ?? place, error.message)
                }
            case .positional(let entry): report(entry.place, "'options' is a table of names: this element has none")
            case .keyed: knowsAll = false
            }
        }
        if knowsAll, let options = scenario.options {
            options.schemas = types
        } else {
            scenario.options = knowsAll ? OptionTypes(types) : nil
        }
        return knowsAll && schemas.count == types.count ? schemas : nil
    }

    /// The options that a shipped function makes, as `fixture.nic_options { ... }`, and the constructor of those that it
    /// is given to add to them.
    private func madeOptions(
        _ value: Expression
    ) -> (schemas: [OptionSchema], argument: Expression?, isWhole: Bool)? {
        var call = value
        if case .local(let variable) = value.kind, variable.writes == 0, !variable.isChanged, let made = variable.value
        {
            call = made
        }
        guard case .call(let callee, let arguments) = call.kind, arguments.count < 2,
            case .function(.foreign(let signature)) = callee.type, let maker = signature.options,
            let schemas = names.options(madeBy: maker)
        else { return nil }
        guard let argument = arguments.first else { return (schemas, nil, true) }
        guard argument.items != nil else { return nil }
        return (schemas, argument, true)
    }

    /// Where in an option's table the key or value is that an error's message names.
    private func place(of message: String, in entry: Expression) -> Place? {
        for case .named(let name, let place, let value) in entry.items ?? [] {
            if message.contains("unknown key '\(name)'") { return place }
            if message.contains(".\(name) ") || message.contains(".\(name):") { return value.place }
        }
        return nil
    }

    // MARK: Cases

    private static let caseForm = "{ \"what is shown\", function(t, opt) ... end }"

    private func checkCases(_ value: Expression) {
        if case .local(let variable) = value.kind { scenario.casesVariable = variable }
        let (table, isWhole) = constructor(value)
        guard let table, let items = table.givenItems else {
            scenario.knowsCases = false
            if let type = value.type.typeName, type != "table" {
                report(
                    value.place, "'cases' must be a list, of which each element is \(Checker.caseForm), not a \(type)")
            }
            return
        }
        scenario.knowsCases = isWhole
        if isWhole, items.isEmpty {
            report(table.place, "'cases' is empty: each element is \(Checker.caseForm)")
        }
        var seen: Set<String> = []
        var all: [String?] = isWhole ? [] : [nil]
        for item in items {
            switch item {
            case .positional(let element):
                guard !element.isOpen else {
                    scenario.knowsCases = false
                    all.append(nil)
                    continue
                }
                let name = checkCase(element)
                all.append(name)
                if let name, !seen.insert(name).inserted {
                    report(element.place, "there is a case \"\(name)\" already")
                }
            case .named(let name, _, let function):
                all.append(name)
                checkFunction(function, function.place)
            case .keyed(let key, let function):
                if case .string(let name) = key.type { all.append(name) } else { all.append(nil) }
                checkFunction(function, function.place)
            }
        }
        scenario.caseNames = all.contains(where: { $0 == nil }) ? nil : all.compactMap { $0 }
    }

    /// A case that is added to the list of cases: `cases[#cases + 1] = { name, f }` or `cases[name] = f`.
    func noteCase(_ element: Expression, at key: Expression, of object: Expression) {
        guard case .local(let variable) = object.kind, variable === scenario.casesVariable else { return }
        switch key.type {
        case .integer: _ = checkCase(element)
        case .string: checkFunction(element, element.place)
        // Whether it is a place or a name is not known.
        default: if element.items != nil { _ = checkCase(element) }
        }
    }

    /// Checks an element of the cases; returns its name where that is known.
    private func checkCase(_ element: Expression) -> String? {
        guard let items = element.items else {
            if let type = element.type.typeName, type != "table" {
                report(element.place, "a case is \(Checker.caseForm), not a \(type)")
            }
            scenario.knowsCases = false
            return nil
        }
        var parts: [Expression] = []
        for case .positional(let part) in items { parts.append(part) }
        guard items.count == 2, parts.count == 2 else {
            if parts.last?.isOpen != true || items.count > 2 { report(element.place, "a case is \(Checker.caseForm)") }
            scenario.knowsCases = false
            return nil
        }
        if let type = parts[0].type.typeName, type != "string" {
            report(parts[0].place, "a case's name is a string, not a \(type)")
        }
        checkFunction(parts[1], parts[1].place)
        if case .string(let name?) = parts[0].type { return name }
        return nil
    }

    private func checkFunction(_ function: Expression, _ place: Place) {
        if let type = function.type.typeName, type != "function" {
            report(place, "a case has a function, not a \(type): \(Checker.caseForm)")
        }
        if !bind(function, by: function, depth: 0) { scenario.knowsCases = false }
    }

    /// Makes a function a case's; of a call of a function of this file, what that returns. False where it is not known.
    /// `place`: the expression that stands where the function is wanted.
    private func bind(_ function: Expression, by place: Expression, depth: Int) -> Bool {
        guard depth < 8 else { return false }
        switch function.kind {
        case .function(let body):
            body.makeCase(by: place)
            return true
        case .parenthesised(let inner): return bind(inner, by: place, depth: depth + 1)
        case .local(let variable):
            guard case .function(.own(let body)) = variable.type else { return false }
            body.makeCase(by: place)
            if let value = variable.value, value.isCall { return bind(value, by: value, depth: depth + 1) }
            return true
        case .call(let callee, _):
            guard case .function(.own(let body)) = callee.type, !body.returned.isEmpty else { return false }
            if case .function(.own(let made)) = function.type { made.makeCase(by: place) }
            return body.returned.allSatisfy { values in
                values.first.map { bind($0, by: $0, depth: depth + 1) } ?? false
            }
        default: return false
        }
    }

    // MARK: At the end

    func checkEffects() {
        guard let declared = scenario.effects else { return }
        for use in effects where !declared.contains(use.effect) {
            report(
                use.place,
                "\(use.function) needs the effect '\(use.effect.rawValue)', which the scenario's 'effects' do not declare"
            )
        }
    }

    func checkRoles() {
        guard let roles = scenario.roles else { return }
        for use in comparedRoles where !roles.contains(use.name) {
            report(
                use.place,
                "the scenario has no role '\(use.name)'\(suggestion(use.name, roles)) (roles: \(roles.joined(separator: ", ")))"
            )
        }
    }

    func checkOptionsAreRead() {
        guard scenario.options != nil, scenario.knowsCases, !scenario.readsAllOptions else { return }
        for (name, place) in scenario.optionPlaces where !scenario.readOptions.contains(name) {
            report(place, "the option '\(name)' is declared and never read", .warning)
        }
    }

    // MARK: Literals

    /// The value of an expression that does not depend on anything else; nil for others.
    func literal(_ expression: Expression) -> LuaValue? {
        if let items = constructor(expression).0?.items, constructor(expression).isWhole { return literal(items) }
        switch expression.type {
        case .nil: return LuaValue.none
        case .integer(let value?): return .integer(value)
        case .number(let value?): return .number(value)
        case .string(let text?): return .string(text)
        case .boolean: if case .boolean(let value) = expression.kind { return .boolean(value) }
        case .function: return .other("function")
        default: break
        }
        return nil
    }

    private func literal(_ items: [Expression.Item]) -> LuaValue? {
        var list: [LuaValue] = []
        var fields: [String: LuaValue] = [:]
        for item in items {
            switch item {
            case .positional(let value):
                guard !value.isOpen, let literal = literal(value) else { return nil }
                list.append(literal)
            case .named(let name, _, let value):
                guard let literal = literal(value) else { return nil }
                fields[name] = literal
            case .keyed: return nil
            }
        }
        guard list.isEmpty || fields.isEmpty else { return .other("table that is both a list and has names") }
        return list.isEmpty ? .table(fields) : .list(list)
    }
}
