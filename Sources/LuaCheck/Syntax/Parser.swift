import LuaKit

/// Reads Lua 5.4 and resolves its names. Labels, `goto` and `break` are left to Lua's own compiler, which sees every
/// file too.
struct Parser {
    /// How deep blocks, functions and expressions may be nested; Lua's own limit is 200 levels of them.
    private static let deepest = 190
    /// How deep a tree may become by chains of operators and calls, which do not nest in the text.
    private static let deepestTree = 400
    /// How many local variables a place can see. Lua's own limit is 200 for each function.
    private static let mostVisible = 4000

    private var lexer: Lexer
    var token = Token.end
    var place = Place(line: 1, column: 1)
    private var ahead: (token: Token, place: Place)?
    private var levels = 0
    private var visible = 0
    private var scopes: [[Variable]] = [[]]
    /// The functions around the current place, the innermost last.
    private var functions: [FunctionBody] = []
    private var bodies: [FunctionBody] = []
    private var variables: [Variable] = []
    private var globals: [(name: String, place: Place, near: String?, isAssigned: Bool)] = []
    private var wrongAssignments: [Finding] = []
    private var hasOwnEnvironment = false
    private let known: Set<String>

    /// The tree of a file; `known` are the globals that exist.
    static func chunk(_ text: [UInt8], known: Set<String>) throws(SyntaxError) -> Chunk {
        var parser = Parser(lexer: Lexer(text), known: known)
        try parser.advance()
        let main = FunctionBody([], isVariadic: true, parser.place)
        parser.functions = [main]
        main.block = try parser.block()
        guard parser.token == .end else { throw parser.unexpected("a statement") }
        return Chunk(
            main: main, variables: parser.variables, functions: parser.bodies + [main], globals: parser.globals,
            hasOwnEnvironment: parser.hasOwnEnvironment, wrongAssignments: parser.wrongAssignments,
            annotations: parser.lexer.annotations)
    }

    private init(lexer: Lexer, known: Set<String>) {
        self.lexer = lexer
        self.known = known
    }

    // MARK: Tokens

    mutating func advance() throws(SyntaxError) {
        if let next = ahead {
            (token, place, ahead) = (next.token, next.place, nil)
        } else {
            (token, place) = try lexer.next()
        }
    }

    mutating func peek() throws(SyntaxError) -> Token {
        if let ahead { return ahead.token }
        let next = try lexer.next()
        ahead = next
        return next.token
    }

    func unexpected(_ expected: String) -> SyntaxError {
        SyntaxError(place: place, message: "\(expected) is expected here, not \(token.text)")
    }

    mutating func accept(_ symbol: Symbol) throws(SyntaxError) -> Bool {
        guard token == .symbol(symbol) else { return false }
        try advance()
        return true
    }

    /// Takes a symbol; `opening` is where the bracket or block that it closes began.
    mutating func expect(_ symbol: Symbol, closing opening: (what: String, place: Place)? = nil) throws(SyntaxError) {
        guard token != .symbol(symbol) else { return try advance() }
        guard let opening, opening.place.line != place.line else { throw unexpected("'\(symbol.rawValue)'") }
        throw SyntaxError(
            place: place,
            message:
                "'\(symbol.rawValue)' is expected here to end the '\(opening.what)' of line \(opening.place.line), not \(token.text)"
        )
    }

    mutating func name() throws(SyntaxError) -> (text: String, place: Place) {
        guard case .name(let name) = token else { throw unexpected("a name") }
        let result = (name, place)
        try advance()
        return result
    }

    /// Runs `body` a level deeper.
    mutating func nested<Result>(_ body: (inout Parser) throws(SyntaxError) -> Result) throws(SyntaxError) -> Result {
        levels += 1
        guard levels <= Parser.deepest else { throw SyntaxError(place: place, message: "this is nested too deep") }
        defer { levels -= 1 }
        return try body(&self)
    }

    /// An expression above others. The depth of the whole tree is limited, as it is walked recursively.
    func expression(
        _ kind: Expression.Kind, _ place: Place, above parts: [Expression] = []
    ) throws(SyntaxError) -> Expression {
        let depth = 1 + (parts.lazy.map(\.depth).max() ?? 0)
        guard depth <= Parser.deepestTree else {
            throw SyntaxError(place: place, message: "this expression is too long to be checked")
        }
        return Expression(kind, place, depth: depth)
    }

    // MARK: Scopes

    private mutating func declare(_ variable: Variable) throws(SyntaxError) {
        if variable.name == "_ENV" { hasOwnEnvironment = true }
        variables.append(variable)
        visible += 1
        guard visible <= Parser.mostVisible else {
            throw SyntaxError(place: variable.place, message: "too many local variables are in scope here")
        }
        scopes[scopes.count - 1].append(variable)
    }

    private mutating func inScope<Result>(
        _ body: (inout Parser) throws(SyntaxError) -> Result
    ) throws(SyntaxError) -> Result {
        scopes.append([])
        defer { visible -= scopes.removeLast().count }
        return try body(&self)
    }

    private func find(_ name: String) -> Variable? {
        for scope in scopes.reversed() {
            if let variable = scope.last(where: { $0.name == name }) { return variable }
        }
        return nil
    }

    /// A name that is read or, where `isAssigned`, written.
    mutating func use(_ name: String, _ place: Place) -> Expression {
        if let variable = find(name) {
            variable.reads += 1
            return Expression(.local(variable), place)
        }
        if name == "_ENV" { hasOwnEnvironment = true }
        if !known.contains(name), name != "_ENV", globals.count < Checker.mostFindings {
            let visible = scopes.joined().suffix(1000).map(\.name)
            globals.append((name, place, nearest(to: name, in: visible + known.sorted()), false))
        }
        return Expression(.global(name), place)
    }

    /// Makes a use an assignment.
    private mutating func assign(_ target: Expression) {
        switch target.kind {
        case .local(let variable):
            variable.reads -= 1
            variable.writes += 1
            if variable.isConstant {
                wrongAssignments.append(
                    Finding(target.place, .error, "'\(variable.name)' is a constant of line \(variable.place.line)"))
            }
        case .global(let name):
            if let last = globals.lastIndex(where: { $0.place == target.place }) {
                globals[last].isAssigned = true
            } else if known.contains(name), globals.count < Checker.mostFindings {
                globals.append((name, target.place, nil, true))
            }
        case .index(let object, _):
            var root = object
            while case .index(let inner, _) = root.kind { root = inner }
            if case .local(let variable) = root.kind { variable.isChanged = true }
        default: break
        }
    }

    // MARK: Statements

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
