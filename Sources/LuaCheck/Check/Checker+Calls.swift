import LuaKit
import Runner

extension Checker {
    /// Functions that call another one and expect it to fail, by the index of that one among their arguments.
    private static let catching = ["pcall": 0, "xpcall": 0, "expect.error": 1]
    /// Functions that call another one, by the index of that one among their arguments.
    static let calling = catching.merging(["expect.errno": 1]) { one, _ in one }
    /// Functions of Lua's library that change no table that they get.
    private static let reading: Set<String> = [
        "ipairs", "pairs", "next", "print", "rawequal", "rawget", "rawlen", "select", "table.concat", "tostring",
        "type",
    ]
    /// Those that tell of what type a value is.
    private static let testing: Set<String> = ["type", "math.type"]

    /// All results of a call; of `...` nothing is known.
    func results(of expression: Expression) -> [ValueType] {
        var results: [ValueType] = []
        switch expression.kind {
        case .call(let callee, let arguments): results = call(expression, callee, arguments)
        case .method(let object, let name, let place, let arguments):
            results = method(expression, object, name, place, arguments)
        default: return []
        }
        expression.type = results.first ?? .unknown
        return results
    }

    private func call(_ expression: Expression, _ callee: Expression, _ arguments: [Expression]) -> [ValueType] {
        if case .global("require") = callee.kind { return [require(arguments)] }
        let function = called(callee)
        let name = Checker.name(of: function)
        let types = evaluate(arguments: arguments, of: name, function)
        if let name {
            if Checker.testing.contains(name), let test = arguments.first.flatMap(TypeTest.init) { tested.insert(test) }
            if let index = Checker.calling[name], arguments.indices.contains(index), types.indices.contains(index) {
                checkIsFunction(arguments[index], types[index], name, isFirst: index == 0)
                // It catches errors of the kernel alone, not those of wrong arguments.
                if name == "expect.errno", !arguments[index].isOpen, case .function(let callee) = types[index],
                    case .described = callee
                {
                    _ = call(
                        callee, Array(arguments.dropFirst(index + 1)), Array(types.dropFirst(index + 1)), receiver: nil,
                        arguments[index].place)
                }
            }
        }
        switch function {
        case .function(let function):
            return call(function, arguments, types, receiver: nil, expression.place)
        case .module(let module):
            report(expression.place, "module \(module.name) is no function")
        case .boolean, .integer, .number, .string, .object, .record, .list, .instance, .options:
            report(expression.place, "a \(function.typeName ?? "value") is called, which is no function")
        case .unknown, .nil, .map, .table: break
        }
        return [.unknown]
    }

    private func method(
        _ expression: Expression, _ object: Expression, _ name: String, _ place: Place, _ arguments: [Expression]
    ) -> [ValueType] {
        let owner = evaluate(object, isCallee: true)
        if case .module(let module) = owner, module.name != "case",
            module.functions.contains(where: { $0.name == name })
        {
            _ = evaluate(arguments: arguments, of: nil, owner)
            report(place, "\(module.name).\(name): it is no method; call it with a dot, \(module.name).\(name)(...)")
            return [.unknown]
        }
        let member = member(name, of: owner, place, isCalled: true)
        let types = evaluate(arguments: arguments, of: nil, member)
        guard case .function(let function) = member else { return [.unknown] }
        return call(function, arguments, types, receiver: owner, place)
    }

    /// The value that a call calls. That a module lacks a function shows only there: reading it gives nil.
    private func called(_ callee: Expression) -> ValueType {
        guard case .index(let object, let key) = callee.kind, let name = key.text else {
            return evaluate(callee, isCallee: true)
        }
        let owner = evaluate(object, isCallee: true)
        callee.type = member(name, of: owner, key.place, isCalled: true)
        return callee.type
    }

    private static func name(of function: ValueType) -> String? {
        switch function {
        case .function(.library(let name)): name
        case .function(.foreign(let signature)): signature.name
        default: nil
        }
    }

    /// Evaluates arguments. In a function that is called to see it fail, nothing is reported.
    private func evaluate(arguments: [Expression], of name: String?, _ function: ValueType) -> [ValueType] {
        let caught = name.flatMap { Checker.catching[$0] }
        var isOwn = false, isDescribed = false, isReading = false
        switch function {
        case .function(.own): isOwn = true
        case .function(.described): isDescribed = true
        // One that comes with the program changes no table of a script's either.
        case .function(.foreign(let signature)): isDescribed = signature.isShipped
        case .function(.library(let name)): isReading = Checker.reading.contains(name)
        default: break
        }
        var types: [ValueType] = []
        for (index, argument) in arguments.enumerated() {
            let isCaught = index == caught
            if isCaught { expectsErrors += 1 }
            defer { if isCaught { expectsErrors -= 1 } }
            if index == arguments.count - 1, argument.isOpen {
                types += results(of: argument)
            } else {
                // A function of this file shows what it does with its arguments; who calls one that it gets does not.
                let type = evaluate(argument, isCallee: isOwn, isPlaced: isDescribed || isReading)
                switch type {
                case .function(.own(let body)): body.give(by: argument)
                // Its elements can be had from these.
                case .table(let shape) where isReading: for field in shape.fields.values { field.lose() }
                default: break
                }
                types.append(type)
            }
        }
        return types
    }

    private func call(
        _ function: FunctionType, _ arguments: [Expression], _ types: [ValueType], receiver: ValueType?, _ place: Place
    ) -> [ValueType] {
        switch function {
        case .described(let function, let owner, let className):
            return call(function, owner, className, arguments, types, receiver, place)
        case .own(let body):
            let all = receiver.map { [$0] + types } ?? types
            called(body, all)
            return body.results ?? [.unknown]
        case .foreign(let signature):
            check(signature, arguments, types, receiver, place)
            return [result(of: signature, types, receiver)]
        case .library(let name): return names.results(ofLibrary: name, types)
        }
    }

    private func call(
        _ function: Function, _ owner: String, _ className: String?, _ arguments: [Expression], _ types: [ValueType],
        _ receiver: ValueType?, _ place: Place
    ) -> [ValueType] {
        let results = function.returns.map { ValueType($0) }
        guard let className else {
            let name = "\(owner).\(function.name)"
            if receiver != nil, function.parameters.first?.name != "case" {
                let module = owner == "case" ? "(require \"case\")" : owner
                report(place, "\(name): it is no method; call it with a dot, \(module).\(function.name)(...)")
                return results
            }
            check(
                function, named: function.parameters.first?.name == "case" ? "case:\(function.name)" : name, arguments,
                types, receiver: receiver,
                place)
            note(function, name, arguments, place)
            return results
        }
        let name = "\(owner):\(function.name)"
        if receiver != nil {
            check(function, named: name, arguments, types, receiver: receiver, place)
            note(function, name, arguments, place)
            return results
        }
        // A method's function, called with a dot. Of an open list nothing is known.
        if arguments.count == 1, arguments[0].isOpen { return results }
        switch types.first {
        case .object(let given)? where given == className:
            check(
                function, named: name, Array(arguments.dropFirst()), Array(types.dropFirst()), receiver: types.first,
                place)
            note(function, name, Array(arguments.dropFirst()), place)
        case .unknown?: break
        default:
            report(place, "\(name): it is a method and has no object here; call it with a colon, \(name)(...)")
        }
        return results
    }

    /// Notes the effects of a call of a described function.
    private func note(_ function: Function, _ name: String, _ arguments: [Expression], _ place: Place) {
        guard expectsErrors == 0 else { return }
        var certain = function.effects
        if let selected = function.selectedEffects,
            let index = function.parameters.firstIndex(where: { $0.name == selected.parameter })
        {
            guard arguments.indices.contains(index), case .integer(let value?) = arguments[index].type else { return }
            if value == selected.value { certain = selected.effects }
        }
        effects += certain.map { (effect: $0, function: name, place: place) }
    }

    /// Checks that what a function is to call is a function. A call that stands there is made before, where nothing
    /// catches its error.
    private func checkIsFunction(_ argument: Expression, _ type: ValueType, _ name: String, isFirst: Bool) {
        let isCall = argument.isCall
        let isNothing = isCall && returnsNothing(argument)
        guard isNothing || ![nil, "function", "table"].contains(type.typeName) else { return }
        guard isCall else {
            return report(
                argument.place, "\(name): a function is expected here, not a \(type.typeName ?? "value")")
        }
        let other = isFirst ? "" : "..., "
        report(
            argument.place,
            "\(name): this call is made before \(name) can catch its error; write \(name)(\(other)function() return ... end)"
        )
    }

    /// Whether an expression calls a function of this file that returns nothing.
    private func returnsNothing(_ call: Expression) -> Bool {
        guard case .call(let callee, _) = call.kind, case .function(.own(let body)) = callee.type else { return false }
        return body.returned.allSatisfy(\.isEmpty)
    }

    private func require(_ arguments: [Expression]) -> ValueType {
        for argument in arguments { evaluate(argument) }
        guard arguments.count == 1, let name = arguments[0].text else { return .unknown }
        switch modules(name) {
        case .type(let type): return type
        case .absent(let reason):
            report(arguments[0].place, reason)
            return .unknown
        }
    }
}
