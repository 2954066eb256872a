/// Statements.
extension Parser {
    private var endsBlock: Bool {
        switch token {
        case .end, .symbol(.end), .symbol(.else), .symbol(.elseif), .symbol(.until): true
        default: false
        }
    }

    mutating func block() throws(SyntaxError) -> [Statement] {
        try nested { parser throws(SyntaxError) in
            try parser.inScope { parser throws(SyntaxError) in try parser.statements() }
        }
    }

    private mutating func statements() throws(SyntaxError) -> [Statement] {
        var statements: [Statement] = []
        while !endsBlock {
            if token == .symbol(.return) {
                statements.append(try returning())
                break
            }
            if let statement = try statement() { statements.append(statement) }
        }
        return statements
    }

    private mutating func returning() throws(SyntaxError) -> Statement {
        let start = place
        try advance()
        let values = endsBlock || token == .symbol(.semicolon) ? [] : try expressions()
        _ = try accept(.semicolon)
        guard endsBlock else { throw unexpected("the end of the block after 'return'") }
        functions.last?.returned.append(values)
        return Statement(.return(values), start)
    }

    private mutating func statement() throws(SyntaxError) -> Statement? {
        let start = place
        guard case .symbol(let symbol) = token else { return try simpleStatement() }
        switch symbol {
        case .semicolon, .break:
            try advance()
            return nil
        case .goto:
            try advance()
            _ = try name()
            return nil
        case .labelMark:
            try advance()
            _ = try name()
            try expect(.labelMark)
            return nil
        case .do:
            try advance()
            let body = try block()
            try expect(.end, closing: ("do", start))
            return Statement(.block(body), start)
        case .while:
            try advance()
            let condition = try expression()
            try expect(.do)
            let body = try block()
            try expect(.end, closing: ("while", start))
            return Statement(.while(condition, body), start)
        case .repeat: return try repetition(start)
        case .if: return try branches(start)
        case .for: return try loop(start)
        case .function: return try functionStatement(start)
        case .local: return try local(start)
        default: return try simpleStatement()
        }
    }

    private mutating func repetition(_ start: Place) throws(SyntaxError) -> Statement {
        try advance()
        return try nested { parser throws(SyntaxError) in
            // The condition sees the block's variables.
            try parser.inScope { parser throws(SyntaxError) in
                let body = try parser.statements()
                try parser.expect(.until, closing: ("repeat", start))
                return Statement(.repeat(body, try parser.expression()), start)
            }
        }
    }

    private mutating func branches(_ start: Place) throws(SyntaxError) -> Statement {
        var branches: [(condition: Expression, block: [Statement])] = []
        repeat {
            try advance()
            let condition = try expression()
            guard token != .symbol(.assign) else {
                throw SyntaxError(
                    place: place, message: "'then' is expected here, not '='; a comparison is written '=='")
            }
            try expect(.then)
            branches.append((condition, try block()))
        } while token == .symbol(.elseif)
        let rest = try accept(.else) ? try block() : []
        try expect(.end, closing: ("if", start))
        return Statement(.branches(branches, rest), start)
    }

    private mutating func loop(_ start: Place) throws(SyntaxError) -> Statement {
        try advance()
        var names = [try name()]
        if try accept(.assign) {
            let bounds = try expressions()
            guard bounds.count == 2 || bounds.count == 3 else { throw unexpected("'from, to' or 'from, to, step'") }
            let variable = Variable(names[0].text, names[0].place)
            let body = try loopBody([variable], start)
            return Statement(.numericFor(variable, bounds, body), start)
        }
        while try accept(.comma) { names.append(try name()) }
        try expect(.in)
        let values = try expressions()
        let variables = names.map { Variable($0.text, $0.place) }
        // What a loop gives beside what is wanted is no mistake.
        for variable in variables.dropLast() { variable.isKept = true }
        return Statement(.genericFor(variables, values, try loopBody(variables, start)), start)
    }

    private mutating func loopBody(_ variables: [Variable], _ start: Place) throws(SyntaxError) -> [Statement] {
        try expect(.do)
        let body = try inScope { parser throws(SyntaxError) in
            for variable in variables { try parser.declare(variable) }
            return try parser.block()
        }
        try expect(.end, closing: ("for", start))
        return body
    }

    private mutating func functionStatement(_ start: Place) throws(SyntaxError) -> Statement {
        try advance()
        let first = try name()
        var target = use(first.text, first.place)
        var isMethod = false
        while token == .symbol(.dot) || token == .symbol(.colon) {
            isMethod = token == .symbol(.colon)
            try advance()
            let key = try name()
            let literal = Expression(.string(Array(key.text.utf8)), key.place)
            target = try expression(.index(target, literal), key.place, above: [target])
            if isMethod { break }
        }
        assign(target)
        return Statement(.function(target, try functionBody(start, isMethod: isMethod)), start)
    }

    private mutating func local(_ start: Place) throws(SyntaxError) -> Statement {
        try advance()
        if try accept(.function) {
            let (text, place) = try name()
            let variable = Variable(text, place)
            try declare(variable)
            return Statement(.localFunction(variable, try functionBody(start, isMethod: false)), start)
        }
        var variables: [Variable] = []
        repeat {
            let (text, place) = try name()
            let variable = Variable(text, place)
            if try accept(.less) {
                let attribute = try name()
                guard ["const", "close"].contains(attribute.text) else {
                    throw SyntaxError(
                        place: attribute.place,
                        message: "a variable is <const> or <close>, not <\(attribute.text)>")
                }
                variable.isConstant = true
                variable.isKept = attribute.text == "close"
                try expect(.greater)
            }
            variables.append(variable)
        } while try accept(.comma)
        let values = try accept(.assign) ? try expressions() : []
        for (index, variable) in variables.enumerated() {
            if index < values.count, index < values.count - 1 || !values[index].isOpen || variables.count == index + 1 {
                variable.value = values[index]
            }
            try declare(variable)
        }
        return Statement(.local(variables, values), start)
    }

    private mutating func simpleStatement() throws(SyntaxError) -> Statement {
        let start = place
        let first = try suffixed()
        if token == .symbol(.assign) || token == .symbol(.comma) {
            var targets = [first]
            while try accept(.comma) { targets.append(try suffixed()) }
            try expect(.assign)
            let values = try expressions()
            for target in targets {
                switch target.kind {
                case .local, .global, .index: assign(target)
                default: throw SyntaxError(place: target.place, message: "this cannot be assigned to")
                }
            }
            return Statement(.assign(targets, values), start)
        }
        switch first.kind {
        case .call, .method: return Statement(.call(first), start)
        default: throw unexpected("'=' or a call")
        }
    }

    /// Parameters and block of a function, up to its `end`.
    mutating func functionBody(_ start: Place, isMethod: Bool) throws(SyntaxError) -> FunctionBody {
        var parameters: [Variable] = []
        if isMethod {
            let receiver = Variable("self", start, isParameter: true)
            parameters.append(receiver)
        }
        var isVariadic = false
        try expect(.leftParenthesis)
        while token != .symbol(.rightParenthesis) {
            if try accept(.varargs) {
                isVariadic = true
                break
            }
            let (text, place) = try name()
            parameters.append(Variable(text, place, isParameter: true))
            guard try accept(.comma) else { break }
            guard token != .symbol(.rightParenthesis) else { throw unexpected("a name") }
        }
        try expect(.rightParenthesis)
        let body = FunctionBody(parameters, isVariadic: isVariadic, start)
        bodies.append(body)
        functions.append(body)
        defer { functions.removeLast() }
        body.block = try inScope { parser throws(SyntaxError) in
            for parameter in parameters { try parser.declare(parameter) }
            return try parser.block()
        }
        try expect(.end, closing: ("function", start))
        return body
    }
}
