/// A local variable or parameter.
final class Variable {
    let name: String
    let place: Place
    let isParameter: Bool
    /// How often it is read.
    var reads = 0
    /// How often it is assigned after its declaration.
    var writes = 0
    /// Whether one of its fields is assigned somewhere.
    var isChanged = false
    /// Whether something depends on it beside what is read: `<close>`, and a function's own name.
    var isKept = false
    /// Whether it may not be assigned: `<const>`, `<close>`.
    var isConstant = false
    /// What it is declared with, where that is one expression.
    var value: Expression?
    /// The class that an annotation makes of the table in it.
    var annotatedClass: String?
    /// What it holds, where the checker knows.
    var type = ValueType.unknown

    init(_ name: String, _ place: Place, isParameter: Bool = false) {
        self.name = name
        self.place = place
        self.isParameter = isParameter
    }
}

/// An expression of a file.
final class Expression {
    indirect enum Kind {
        case `nil`, varargs
        case boolean(Bool)
        case integer(Int64)
        case float(Double)
        case string([UInt8])
        case function(FunctionBody)
        case local(Variable)
        case global(String)
        /// `object.key` and `object[key]`.
        case index(Expression, Expression)
        case call(Expression, [Expression])
        case method(Expression, String, Place, [Expression])
        case table([Item])
        case unary(Symbol, Expression)
        case binary(Symbol, Expression, Expression)
        case parenthesised(Expression)
    }

    /// An element of a table constructor.
    enum Item {
        case positional(Expression)
        case named(String, Place, Expression)
        case keyed(Expression, Expression)
    }

    let kind: Kind
    let place: Place
    /// How deep the tree below is.
    let depth: Int
    /// What it has been found to be.
    var type = ValueType.unknown
    /// The fields of the table that it makes, of all rounds together.
    var shape: TableShape?

    init(_ kind: Kind, _ place: Place, depth: Int = 1) {
        self.kind = kind
        self.place = place
        self.depth = depth
    }

    /// The text of a string literal that is UTF-8.
    var text: String? {
        if case .string(let bytes) = kind { return String(validating: bytes, as: UTF8.self) }
        return nil
    }

    /// Whether it calls a function.
    var isCall: Bool {
        switch kind {
        case .call, .method: true
        default: false
        }
    }

    /// Whether it can have any number of values.
    var isOpen: Bool {
        switch kind {
        case .call, .method, .varargs: true
        default: false
        }
    }
}

/// A function's parameters and statements.
final class FunctionBody {
    let parameters: [Variable]
    let isVariadic: Bool
    var block: [Statement] = []
    let place: Place

    /// Types of the arguments of the calls that this round has found; nil before the first one.
    var arguments: [ValueType]?
    /// Those of the round before.
    var knownArguments: [ValueType]?
    /// Expressions that give it to where the checker sees no arguments of its calls.
    private var givenBy: Set<ObjectIdentifier> = []
    /// Those of them that make it a case's function, called with the case and the options.
    private var casesBy: Set<ObjectIdentifier> = []
    /// Whether it is a function of a module or table, which can be called from anywhere.
    var isPublic = false

    /// Notes that an expression, which has it, is given away.
    func give(by expression: Expression) { givenBy.insert(ObjectIdentifier(expression)) }
    /// Notes that an expression, which has it, is a case's function.
    func makeCase(by expression: Expression) { casesBy.insert(ObjectIdentifier(expression)) }
    /// Expressions that give it to a shipped function, of which it is known what it calls it with.
    private var callbacksBy: Set<ObjectIdentifier> = []
    /// Notes that an expression, which has it, is called back with what an annotation says.
    func makeCallback(by expression: Expression) { callbacksBy.insert(ObjectIdentifier(expression)) }
    /// Whether it is a case's function.
    var isCase: Bool { !casesBy.isEmpty }
    /// Whether it can be called from where the checker sees no arguments.
    var escapes: Bool { isPublic || !givenBy.isSubset(of: casesBy.union(callbacksBy)) }
    /// What it returns; nil before the first `return` with values.
    var results: [ValueType]?
    /// What its `return` statements have.
    var returned: [[Expression]] = []

    init(_ parameters: [Variable], isVariadic: Bool, _ place: Place) {
        self.parameters = parameters
        self.isVariadic = isVariadic
        self.place = place
    }
}

/// A statement of a file.
final class Statement {
    indirect enum Kind {
        case local([Variable], [Expression])
        case assign([Expression], [Expression])
        case call(Expression)
        case block([Statement])
        case `while`(Expression, [Statement])
        case `repeat`([Statement], Expression)
        case branches([(condition: Expression, block: [Statement])], [Statement])
        case numericFor(Variable, [Expression], [Statement])
        case genericFor([Variable], [Expression], [Statement])
        /// `function a.b:c() end`: the target, and the body.
        case function(Expression, FunctionBody)
        case localFunction(Variable, FunctionBody)
        case `return`([Expression])
    }

    let kind: Kind
    let place: Place

    init(_ kind: Kind, _ place: Place) {
        self.kind = kind
        self.place = place
    }
}

/// A file's syntax tree, with its names resolved.
struct Chunk {
    let main: FunctionBody
    /// Every local variable and parameter.
    let variables: [Variable]
    /// Every function of it.
    let functions: [FunctionBody]
    /// Names that are no variable in scope, each with the nearest one that is.
    let globals: [(name: String, place: Place, near: String?, isAssigned: Bool)]
    /// Whether the file makes an environment of its own, so that nothing is known of its globals.
    let hasOwnEnvironment: Bool
    /// Assignments to constants.
    let wrongAssignments: [Finding]
    /// What LuaLS takes for annotations, by line.
    let annotations: [Int: String]
}
