extension Parser {
    /// Binding strengths on both sides, as in Lua's own parser.
    private static let strengths: [Symbol: (left: Int, right: Int)] = [
        .or: (1, 1), .and: (2, 2),
        .less: (3, 3), .greater: (3, 3), .lessEqual: (3, 3), .greaterEqual: (3, 3), .different: (3, 3), .equal: (3, 3),
        .bitOr: (4, 4), .tilde: (5, 5), .bitAnd: (6, 6), .shiftLeft: (7, 7), .shiftRight: (7, 7), .concat: (9, 8),
        .plus: (10, 10), .minus: (10, 10), .times: (11, 11), .divide: (11, 11), .floorDivide: (11, 11),
        .modulo: (11, 11), .power: (14, 13),
    ]
    private static let unaryStrength = 12

    mutating func expressions() throws(SyntaxError) -> [Expression] {
        var result = [try expression()]
        while try accept(.comma) { result.append(try expression()) }
        return result
    }

    mutating func expression() throws(SyntaxError) -> Expression { try expression(above: 0) }

    private mutating func expression(above limit: Int) throws(SyntaxError) -> Expression {
        try nested { parser throws(SyntaxError) in try parser.operation(above: limit) }
    }

    private mutating func operation(above limit: Int) throws(SyntaxError) -> Expression {
        let start = place
        var left: Expression
        if case .symbol(let symbol) = token, [.not, .minus, .length, .tilde].contains(symbol) {
            try advance()
            let operand = try expression(above: Parser.unaryStrength)
            left = try expression(.unary(symbol, operand), start, above: [operand])
        } else {
            left = try simple()
        }
        while case .symbol(let symbol) = token, let strength = Parser.strengths[symbol], strength.left > limit {
            try advance()
            let right = try expression(above: strength.right)
            left = try expression(.binary(symbol, left, right), start, above: [left, right])
        }
        return left
    }

    private mutating func simple() throws(SyntaxError) -> Expression {
        let start = place
        let kind: Expression.Kind
        switch token {
        case .integer(let value): kind = .integer(value)
        case .float(let value): kind = .float(value)
        case .string(let bytes): kind = .string(bytes)
        case .symbol(.nil): kind = .nil
        case .symbol(.true): kind = .boolean(true)
        case .symbol(.false): kind = .boolean(false)
        case .symbol(.varargs): kind = .varargs
        case .symbol(.leftBrace): return try table()
        case .symbol(.function):
            try advance()
            return Expression(.function(try functionBody(start, isMethod: false)), start)
        default: return try suffixed()
        }
        try advance()
        return Expression(kind, start)
    }

    /// A name or an expression in parentheses, with what follows it: fields, indices, calls.
    mutating func suffixed() throws(SyntaxError) -> Expression {
        let start = place
        var result: Expression
        switch token {
        case .name(let name):
            try advance()
            result = use(name, start)
        case .symbol(.leftParenthesis):
            try advance()
            let inner = try expression()
            try expect(.rightParenthesis, closing: ("(", start))
            result = try expression(.parenthesised(inner), start, above: [inner])
        default: throw unexpected("an expression")
        }
        while true {
            switch token {
            case .symbol(.dot):
                try advance()
                let key = try name()
                let literal = Expression(.string(Array(key.text.utf8)), key.place)
                result = try expression(.index(result, literal), start, above: [result])
            case .symbol(.leftBracket):
                let opening = place
                try advance()
                let key = try expression()
                try expect(.rightBracket, closing: ("[", opening))
                result = try expression(.index(result, key), start, above: [result, key])
            case .symbol(.colon):
                try advance()
                let method = try name()
                let arguments = try arguments()
                result = try expression(
                    .method(result, method.text, method.place, arguments), start, above: [result] + arguments)
            case .string, .symbol(.leftBrace), .symbol(.leftParenthesis):
                let arguments = try arguments()
                result = try expression(.call(result, arguments), start, above: [result] + arguments)
            default: return result
            }
        }
    }

    private mutating func arguments() throws(SyntaxError) -> [Expression] {
        let start = place
        switch token {
        case .string(let bytes):
            try advance()
            return [Expression(.string(bytes), start)]
        case .symbol(.leftBrace): return [try nested { parser throws(SyntaxError) in try parser.table() }]
        case .symbol(.leftParenthesis):
            try advance()
            if try accept(.rightParenthesis) { return [] }
            let arguments = try expressions()
            try expect(.rightParenthesis, closing: ("(", start))
            return arguments
        default: throw unexpected("the call's arguments")
        }
    }

    private mutating func table() throws(SyntaxError) -> Expression {
        let start = place
        try advance()
        var items: [Expression.Item] = []
        var parts: [Expression] = []
        while token != .symbol(.rightBrace) {
            let item = try item()
            items.append(item)
            switch item {
            case .positional(let value), .named(_, _, let value): parts.append(value)
            case .keyed(let key, let value): parts += [key, value]
            }
            if try !accept(.comma), try !accept(.semicolon) { break }
        }
        try expect(.rightBrace, closing: ("{", start))
        return try expression(.table(items), start, above: parts)
    }

    private mutating func item() throws(SyntaxError) -> Expression.Item {
        if token == .symbol(.leftBracket) {
            try advance()
            let key = try expression()
            try expect(.rightBracket)
            try expect(.assign)
            return .keyed(key, try expression())
        }
        if case .name(let name) = token, try peek() == .symbol(.assign) {
            let start = place
            try advance()
            try advance()
            return .named(name, start, try expression())
        }
        return .positional(try expression())
    }
}
