import LuaKit
import Runner

extension Checker {
    /// Types of a list of expressions; the last one is all the results of a call. `keeping`: functions and tables at
    /// these places go to variables, so that nothing else can have them yet.
    func evaluate(list: [Expression], keeping: [Bool] = []) -> [ValueType] {
        var types: [ValueType] = []
        for (index, expression) in list.enumerated() {
            let isKept = keeping.indices.contains(index) && keeping[index]
            if index == list.count - 1, expression.isOpen {
                types += results(of: expression)
            } else {
                types.append(evaluate(expression, isCallee: isKept))
            }
        }
        return types
    }

    /// An expression's first value. `isCallee`: nothing keeps a function or table that it is. `isPlaced`: what keeps it
    /// does not change it.
    @discardableResult
    func evaluate(_ expression: Expression, isCallee: Bool = false, isPlaced: Bool = false) -> ValueType {
        var type = value(of: expression)
        if !tested.isEmpty, let test = TypeTest(expression), tested.contains(test) {
            lose(type)
            type = .unknown
        }
        expression.type = type
        guard !isCallee else { return type }
        switch type {
        case .function(.own(let body)): body.give(by: expression)
        case .options: scenario.readsAllOptions = true
        case .table(let shape) where !isMadeHere(expression):
            if isPlaced { shape.isWhole = false } else { shape.lose() }
        default: break
        }
        return type
    }

    /// Whether an expression is a table constructor: whoever gets it is the only one that has the table.
    func isMadeHere(_ expression: Expression) -> Bool { expression.items != nil }

    private func value(of expression: Expression) -> ValueType {
        switch expression.kind {
        case .nil: return .nil
        case .varargs: return .unknown
        case .boolean: return .boolean
        case .integer(let value): return .integer(value)
        case .float(let value): return .number(value)
        case .string: return .string(expression.text)
        case .function(let body):
            walk(body)
            return .function(.own(body))
        case .local(let variable): return variable.type
        case .global(let name): return names.globals[name] ?? .unknown
        case .index(let object, let key): return index(expression, object, key)
        case .call, .method: return results(of: expression).first ?? .nil
        case .table(let items): return table(expression, items)
        case .unary(let symbol, let operand): return unary(symbol, evaluate(operand, isCallee: true))
        case .binary(let symbol, let left, let right): return binary(symbol, left, right)
        case .parenthesised(let inner): return evaluate(inner, isCallee: true)
        }
    }

    // MARK: Tables

    private func table(_ expression: Expression, _ items: [Expression.Item]) -> ValueType {
        let shape = expression.shape ?? TableShape("this table")
        if expression.shape == nil { shapes.append(shape) }
        expression.shape = shape
        var seen: Set<String> = []
        for item in items {
            switch item {
            case .positional(let value): evaluate(value)
            case .keyed(let key, let value):
                evaluate(key)
                evaluate(value)
                if key.text == nil { shape.isWhole = false }
            case .named(let name, let place, let value):
                let type = evaluate(value, isPlaced: true)
                shape.fields[name] = shape.fields[name].map { join($0, type) } ?? type
                if !seen.insert(name).inserted {
                    report(place, "the key '\(name)' is given twice in this table; the last one counts", .warning)
                }
            }
        }
        return .table(shape)
    }

    private func index(_ expression: Expression, _ object: Expression, _ key: Expression) -> ValueType {
        let owner = evaluate(object, isCallee: true)
        let keyType = evaluate(key)
        guard let name = key.text else {
            switch (owner, keyType) {
            case (.list(let element), .integer): return element
            case (.map(let element), .string): return element
            case (.options, _):
                scenario.readsAllOptions = true
                return .unknown
            default: return .unknown
            }
        }
        return member(name, of: owner, key.place, isCalled: false)
    }

    /// A named member of a value.
    func member(_ name: String, of owner: ValueType, _ place: Place, isCalled: Bool) -> ValueType {
        switch owner {
        case .module(let module): return member(name, ofModule: module, place)
        case .object(let className): return member(name, ofClass: className, place)
        case .record(let record):
            if let field = record.described.first(where: { $0.name == name }) { return ValueType(field.type) }
            if !assignedFields.contains(name) { refuse(name, record.name, record.members, place) }
            return .unknown
        case .instance(let table): return member(name, ofInstance: table, place, isCalled: isCalled)
        case .options(let options):
            scenario.readOptions.insert(name)
            if let type = options.schemas[name] { return type }
            report(place, "the scenario declares no option '\(name)'" + suggestion(name, options.schemas.keys.sorted()))
            return .unknown
        case .table(let shape):
            if let type = shape.fields[name] { return shape.isWhole || shape.isSealed ? type : .unknown }
            if shape.isWhole, shape.isSealed || isCalled && shape.name != "this table" {
                refuse(name, shape.name, shape.fields.keys.sorted().map { (name: $0, was: nil) }, place)
            } else if shape.isWhole, !shape.isReturned, !shape.isShared, !shape.isSealed,
                let near = nearest(to: name, in: shape.fields.keys.sorted())
            {
                report(place, "\(shape.name) never gets a '\(name)', so this is nil; did you mean '\(near)'?", .warning)
            }
            return .unknown
        case .map(let element): return element
        case .list:
            if assignedFields.contains(name) { return .unknown }
            report(place, "a list has no '\(name)': its keys are integers from 1")
            return .unknown
        case .string:
            if let library = names.globals["string"] { return member(name, of: library, place, isCalled: isCalled) }
            return .unknown
        case .nil, .boolean, .integer, .number, .function:
            // Of nil only a literal is known to be one at every time.
            if case .nil = owner { return .unknown }
            report(place, "'\(name)' is read of a \(owner.typeName ?? "value"), which has no fields")
            return .unknown
        case .unknown: return .unknown
        }
    }

    private func member(_ name: String, ofModule module: Module, _ place: Place) -> ValueType {
        if let function = module.functions.first(where: { $0.name == name }) {
            return .function(.described(function, owner: module.name, receiver: nil))
        }
        if let constant = module.constants.first(where: { $0.name == name }) { return .integer(constant.value) }
        let known = module.functions.map(\.name) + module.constants.map(\.name)
        refuse(name, "module \(module.name)", known.map { (name: $0, was: nil) }, place)
        return .unknown
    }

    private func member(_ name: String, ofClass className: String, _ place: Place) -> ValueType {
        guard let description = names.classes[className] else { return .unknown }
        if let method = description.methods.first(where: { $0.name == name }) {
            return .function(.described(method, owner: description.short, receiver: className))
        }
        if name == "close" { return .function(.library("close")) }
        let known = description.methods.map { (name: $0.name, was: $0.was) }
        refuse(name, className, known + [("close", nil)], place)
        return .unknown
    }

    private func member(
        _ name: String, ofInstance table: AnnotatedClass, _ place: Place, isCalled: Bool
    ) -> ValueType {
        let line = names.line(of: table)
        for one in line {
            if let field = one.fields.first(where: { $0.name == name }) { return names.type(named: field.type) }
            if let method = one.methods[name] { return .function(.foreign(method)) }
        }
        // What a script keeps in it itself.
        guard !assignedFields.contains(name) else { return .unknown }
        let known = line.flatMap { $0.fields.map(\.name) + $0.methods.keys.sorted() }
        if names.isBase(table), !isCalled || nearest(to: name, in: known) == nil { return .unknown }
        refuse(name, table.name, known.map { (name: $0, was: nil) }, place)
        return .unknown
    }

    /// Reports a member that a thing does not have.
    private func refuse(_ name: String, _ owner: String, _ known: [(name: String, was: String?)], _ place: Place) {
        if let renamed = known.first(where: { $0.was == name }) {
            return report(
                place, "\(owner) has no '\(name)': since version 0.2 it is called '\(renamed.name)'")
        }
        report(place, "\(owner) has no '\(name)'" + suggestion(name, known.map(\.name)))
    }

    // MARK: Operators

    private func unary(_ symbol: Symbol, _ operand: ValueType) -> ValueType {
        switch (symbol, operand) {
        case (.not, _): return .boolean
        case (.minus, .integer(let value)): return .integer(value.map { 0 &- $0 })
        case (.minus, .number(let value)): return .number(value.map { -$0 })
        case (.tilde, .integer(let value)): return .integer(value.map { ~$0 })
        case (.length, .string), (.length, .list), (.length, .table): return .integer(nil)
        default: return .unknown
        }
    }

    private func binary(_ symbol: Symbol, _ left: Expression, _ right: Expression) -> ValueType {
        let isChoice = symbol == .and || symbol == .or
        let one = evaluate(left, isCallee: !isChoice)
        let two = evaluate(right, isCallee: !isChoice)
        switch symbol {
        case .or:
            // `condition and A or B` is A or B.
            if case .binary(.and, _, let value) = left.kind { return join(value.type, two) }
            return join(one, two)
        case .and: return .unknown
        case .equal, .different:
            noteRole(left, right)
            noteRole(right, left)
            return .boolean
        case .less, .lessEqual, .greater, .greaterEqual: return .boolean
        case .concat:
            switch (one, two) {
            case (.string(let first?), .string(let second?)): return .string(first + second)
            case (.string, .string), (.string, .integer), (.integer, .string), (.string, .number), (.number, .string):
                return .string(nil)
            default: return .unknown
            }
        default: return arithmetic(symbol, one, two)
        }
    }

    /// Notes that `t:role()`, or a variable that never is anything else, is compared with a name that is written out.
    private func noteRole(_ role: Expression, _ name: Expression) {
        guard let text = name.text else { return }
        var value = role
        if case .local(let variable) = role.kind, variable.writes == 0, let only = variable.value { value = only }
        guard case .method(let object, "role", _, _) = value.kind, case .module(let module) = object.type,
            module.name == "case"
        else { return }
        comparedRoles.append((name: text, place: name.place))
    }

    private func arithmetic(_ symbol: Symbol, _ one: ValueType, _ two: ValueType) -> ValueType {
        switch (one, two) {
        case (.integer(let a), .integer(let b)):
            if symbol == .divide || symbol == .power { return .number(nil) }
            guard let a, let b else { return .integer(nil) }
            switch symbol {
            case .plus: return .integer(a &+ b)
            case .minus: return .integer(a &- b)
            case .times: return .integer(a &* b)
            case .bitAnd: return .integer(a & b)
            case .bitOr: return .integer(a | b)
            case .shiftLeft where (0..<64).contains(b): return .integer(a << b)
            default: return .integer(nil)
            }
        case (.integer, .number), (.number, .integer), (.number, .number): return .number(nil)
        default: return .unknown
        }
    }
}
