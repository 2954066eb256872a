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
    var functions: [FunctionBody] = []
    var bodies: [FunctionBody] = []
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

    mutating func declare(_ variable: Variable) throws(SyntaxError) {
        if variable.name == "_ENV" { hasOwnEnvironment = true }
        variables.append(variable)
        visible += 1
        guard visible <= Parser.mostVisible else {
            throw SyntaxError(place: variable.place, message: "too many local variables are in scope here")
        }
        scopes[scopes.count - 1].append(variable)
    }

    mutating func inScope<Result>(
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
    mutating func assign(_ target: Expression) {
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
}
