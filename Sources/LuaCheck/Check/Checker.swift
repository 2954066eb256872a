import LuaKit
import Runner

/// Finds mistakes in a file's syntax tree: walks it several times, as what a function's parameters are shows only where
/// it is called. What it does not know of a value is never a finding.
final class Checker {
    /// Findings of one file; after so many it stops.
    static let mostFindings = 1000
    /// A parameter's type is known a round after that of the argument.
    private static let rounds = 5

    let names: Names
    let chunk: Chunk
    /// Finds modules, from the folder of the file.
    let modules: (String) -> Names.Found
    private(set) var findings: Set<Finding> = []
    /// Above 0 in functions that are called to see them fail.
    var expectsErrors = 0
    /// Functions around the current statement, the innermost last.
    var bodies: [FunctionBody] = []
    /// What the scenario declares, where that was seen.
    let scenario = ScenarioShape()
    /// Calls with effects outside the script.
    var effects: [(effect: Effect, function: String, place: Place)] = []
    /// Names with which the running role's is compared.
    var comparedRoles: [(name: String, place: Place)] = []
    /// The tables that the file makes.
    var shapes: [TableShape] = []
    /// What the file returns.
    var result = ValueType.nil
    /// Variables, and fields of variables, whose types the file tests, so that it expects others than the checker sees.
    var tested: Set<TypeTest> = []
    /// Names of fields that are assigned anywhere.
    var assignedFields: Set<String> = []
    /// Blocks around the current statement, by number.
    private(set) var blocks: [Int] = []
    private var lastBlock = 0

    init(_ chunk: Chunk, _ names: Names, modules: @escaping (String) -> Names.Found) {
        self.chunk = chunk
        self.names = names
        self.modules = modules
    }

    /// Walks the file; afterwards `findings` and `result` are complete.
    func run() {
        for _ in 0..<Checker.rounds {
            findings = []
            effects = []
            comparedRoles = []
            lastBlock = 0
            scenario.beginRound()
            for shape in shapes { shape.beginRound() }
            for body in chunk.functions {
                body.knownArguments = body.arguments
                body.arguments = nil
                body.results = nil
            }
            walk(chunk.main)
        }
        checkEffects()
        checkRoles()
        checkOptionsAreRead()
        for finding in chunk.wrongAssignments { findings.insert(finding) }
        checkGlobals()
        checkUnused()
    }

    // MARK: Findings

    func report(
        _ place: Place, _ message: String, _ severity: Finding.Severity = .error, unless isFine: () -> Bool = { false }
    ) {
        guard expectsErrors == 0, findings.count < Checker.mostFindings, !isFine() else { return }
        findings.insert(Finding(place, severity, message))
    }

    private func checkGlobals() {
        guard !chunk.hasOwnEnvironment else { return }
        for use in chunk.globals {
            let name = use.name
            if use.isAssigned {
                report(use.place, "assignment to undeclared variable '\(name)'; write 'local \(name)'")
            } else if names.isModule(name) {
                report(use.place, "undeclared variable '\(name)'; write: local \(name) = require \"\(name)\"")
            } else {
                let isLeftOut = ["debug", "dofile", "io", "loadfile", "os", "package"].contains(name)
                guard !isLeftOut else {
                    report(use.place, "undeclared variable '\(name)': scripts have nothing that reaches beyond them")
                    continue
                }
                let near = use.near.map { "; did you mean '\($0)'?" } ?? ""
                report(use.place, "undeclared variable '\(name)'\(near)")
            }
        }
    }

    private func checkUnused() {
        for variable in chunk.variables
        where variable.reads == 0 && !variable.isParameter && !variable.isKept && !variable.name.hasPrefix("_") {
            let what = variable.writes > 0 ? "is assigned and never read" : "is never read"
            report(variable.place, "the variable '\(variable.name)' \(what)", .warning)
        }
    }

    // MARK: Functions

    /// Walks a function's statements with what is known of its parameters.
    func walk(_ body: FunctionBody) {
        var known = body.escapes ? nil : body.knownArguments
        if body.isCase, body.escapes {
            // What it reads of its options is not seen.
            scenario.readsAllOptions = true
        } else if body.isCase {
            let given: [ValueType] = [names.caseType, scenario.options.map { .options($0) } ?? .unknown]
            // One that other functions call too.
            known = known.map { join(given, $0) } ?? given
        }
        for (index, parameter) in body.parameters.enumerated() {
            // That of a method is not written out, and not known.
            if parameter.name == "self", parameter.place == body.place { continue }

            let type = known.flatMap { $0.indices.contains(index) ? $0[index] : nil } ?? .unknown
            parameter.type = parameter.writes == 0 ? type.withoutNil : .unknown
        }
        bodies.append(body)
        walk(body.block)
        bodies.removeLast()
    }

    /// Notes a call of a function of the file.
    func called(_ body: FunctionBody, _ types: [ValueType]) {
        let all = body.parameters.indices.map { types.indices.contains($0) ? types[$0] : .unknown }
        for (index, type) in types.enumerated() {
            if case .table(let shape) = type { shape.isShared = true }
            let isSeen = !body.escapes && body.parameters.indices.contains(index) && body.parameters[index].writes == 0
            if !isSeen { lose(type) }
        }
        body.arguments = body.arguments.map { join($0, all) } ?? all
    }

    /// What values are that have one of two lists' types. What is then not known any more is lost.
    private func join(_ one: [ValueType], _ other: [ValueType]) -> [ValueType] {
        (0..<max(one.count, other.count)).map { index in
            let first = one.indices.contains(index) ? one[index] : .unknown
            let second = other.indices.contains(index) ? other[index] : .unknown
            return join(first, second)
        }
    }

    /// The same for one value.
    func join(_ one: ValueType, _ other: ValueType) -> ValueType {
        let joined = one.joined(other)
        if case .unknown = joined {
            lose(one)
            lose(other)
        }
        return joined
    }

    /// Notes that a value goes to where nothing is known of it.
    func lose(_ type: ValueType) {
        switch type {
        case .table(let shape): shape.lose()
        case .options: scenario.readsAllOptions = true
        case .function(.own(let body)): body.isPublic = true
        default: break
        }
    }

    // MARK: Statements

    func walk(_ block: [Statement]) {
        lastBlock += 1
        blocks.append(lastBlock)
        for statement in block { walk(statement) }
        blocks.removeLast()
    }

    private func walk(_ statement: Statement) {
        switch statement.kind {
        case .local(let variables, let values): declare(variables, values)
        case .assign(let targets, let values): assign(targets, values)
        case .call(let call): evaluate(call)
        case .block(let block): walk(block)
        case .while(let condition, let block):
            evaluate(condition)
            walk(block)
        case .repeat(let block, let condition):
            walk(block)
            evaluate(condition)
        case .branches(let branches, let rest):
            for branch in branches {
                evaluate(branch.condition)
                walk(branch.block)
            }
            walk(rest)
        case .numericFor(let variable, let bounds, let block):
            let types = bounds.map { evaluate($0) }
            let isInteger = [types.first, types.count > 2 ? types[2] : .integer(1)].allSatisfy {
                if case .integer? = $0 { true } else { false }
            }
            variable.type = variable.writes == 0 && isInteger ? .integer(nil) : .unknown
            walk(block)
        case .genericFor(let variables, let values, let block):
            let types = iterated(values)
            for (index, variable) in variables.enumerated() {
                variable.type = index < types.count && variable.writes == 0 ? types[index] : .unknown
            }
            walk(block)
        case .function(let target, let body):
            body.isPublic = true
            if case .local(let variable) = target.kind {
                variable.type = .unknown
            } else {
                store(.function(.own(body)), in: target, nil)
            }
            walk(body)
        case .localFunction(let variable, let body):
            variable.type = variable.writes == 0 ? .function(.own(body)) : .unknown
            if variable.writes > 0 { body.isPublic = true }
            walk(body)
        case .return(let values): returning(values)
        }
    }

    private func declare(_ variables: [Variable], _ values: [Expression]) {
        let types = evaluate(list: values, keeping: variables.map { $0.writes == 0 })
        for (index, variable) in variables.enumerated() {
            guard variable.writes == 0 else {
                variable.type = .unknown
                continue
            }
            let isOpen = values.last?.isOpen ?? false
            variable.type = types.indices.contains(index) ? types[index] : isOpen ? .unknown : .nil
        }
    }

    private func assign(_ targets: [Expression], _ values: [Expression]) {
        let types = evaluate(list: values)
        for (index, target) in targets.enumerated() {
            let type = types.indices.contains(index) ? types[index] : .unknown
            if case .index(let object, let key) = target.kind {
                if values.indices.contains(index) { noteCase(values[index], at: key, of: object) }
                let owner = evaluate(object, isCallee: true)
                evaluate(key)
                if case .module(let module) = owner {
                    report(target.place, "module \(module.name) cannot be changed")
                }
                store(type, in: target, values.count == targets.count ? values[index] : nil)
            }
        }
    }

    /// Keeps what a field is assigned: a value of this type, and `value` where that is one expression.
    private func store(_ type: ValueType, in target: Expression, _ value: Expression?) {
        guard case .index(let object, let key) = target.kind else { return }
        if let name = key.text { assignedFields.insert(name) }
        guard case .table(let shape) = evaluate(object, isCallee: true), !shape.isSealed else { return }
        guard let name = key.text else {
            shape.hasMoreElements = true
            // An integer key is an element of a list.
            if case .integer = evaluate(key) { return }
            shape.isWhole = false
            return
        }
        shape.fields[name] = shape.fields[name].map { join($0, type) } ?? type
        guard let value, let block = blocks.last else { return shape.hasMoreElements = true }
        shape.stores[key.place] = TableShape.Store(name: name, value: value, block: block)
    }

    private func returning(_ values: [Expression]) {
        let isMain = bodies.count == 1
        let types = evaluate(list: values, keeping: [isMain])
        if isMain, let value = values.first { checkScenario(value) }
        guard !isMain else {
            result = types.first ?? .nil
            if case .table(let shape) = result { shape.isReturned = true }
            return
        }
        guard let body = bodies.last else { return }
        let isOpen = values.last?.isOpen ?? false
        let known = isOpen && types.count == values.count ? Array(types.dropLast()) + [types.last ?? .unknown] : types
        guard let before = body.results else {
            body.results = known
            return
        }
        body.results = (0..<max(before.count, known.count)).map { index in
            before.indices.contains(index) && known.indices.contains(index)
                ? join(before[index], known[index]) : .unknown
        }
    }

    /// Types of the variables of a generic `for`.
    private func iterated(_ values: [Expression]) -> [ValueType] {
        _ = evaluate(list: values)
        guard let first = values.first, case .call(let callee, let arguments) = first.kind, values.count == 1,
            case .global(let name) = callee.kind, ["ipairs", "pairs"].contains(name), arguments.count == 1
        else { return [] }
        switch arguments[0].type {
        case .list(let element): return [.integer(nil), element]
        case .map(let element) where name == "pairs": return [.string(nil), element]
        case .record where name == "pairs", .options where name == "pairs": return [.string(nil)]
        default: return name == "ipairs" ? [.integer(nil)] : []
        }
    }
}

extension ValueType {
    /// Without what only a value that is nil at one place would say.
    var withoutNil: ValueType { if case .nil = self { .unknown } else { self } }
}
