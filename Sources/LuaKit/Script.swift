import CLua
import CLuaShims

/// A Lua function, kept alive by this reference.
public final class LuaFunction {
    private let owner: LuaState
    fileprivate let reference: CInt
    /// The line of its file on which it is defined; 0 for a chunk.
    public let line: Int
    /// The name of the chunk that defines it, as messages show it.
    public let source: String

    fileprivate init(_ owner: LuaState, poppingFrom state: OpaquePointer) {
        self.owner = owner
        line = Int(lk_function_line(state, -1))
        source = lk_function_source(state, -1).map { String(cString: $0) } ?? ""
        reference = luaL_ref(state, lk_registry())
    }

    deinit { luaL_unref(owner.raw, lk_registry(), reference) }
}

/// The functions of a table.
public struct FunctionTable {
    /// By name.
    public var named: [String: LuaFunction] = [:]
    /// Functions of a list whose elements are `{ name, function }`, by the elements' indices, from 0.
    public var listed: [Int: LuaFunction] = [:]

    /// Empty.
    public init() {}
}

/// What a script's file returned.
public enum ScriptResult {
    /// Nothing: the file was the script.
    case none
    /// A table whose keys are names. Functions in tables inside it are returned separately.
    case table([String: LuaValue], functions: [String: FunctionTable])
    /// Anything else, named by its Lua type.
    case other(String)
}

extension LuaState {
    /// Compiles a file's text, runs it and classifies its result.
    public func run(_ text: [UInt8], name: String) throws(ErrorValue) -> ScriptResult {
        try load(raw, text, name: name)
        try call(arguments: 0, results: 1)
        defer { lk_pop(raw, 1) }
        switch LuaValue.read(raw, -1) {
        case .none: return .none
        case .table(let fields): return .table(fields, functions: functions(inTables: fields))
        case .list: return .other("list")
        case .other(let what) where what.hasPrefix("table"): return .other(what)
        case let value: return .other(value.typeName)
        }
    }

    /// Calls the value under the arguments on the stack.
    func call(arguments: CInt, results: CInt) throws(ErrorValue) {
        guard lk_call(raw, arguments, results) != LUA_OK else { return }
        let error = readError(raw)
        lk_pop(raw, 1)
        throw error
    }

    /// The functions in the tables of the table at the top.
    private func functions(inTables fields: [String: LuaValue]) -> [String: FunctionTable] {
        var result: [String: FunctionTable] = [:]
        for (key, value) in fields {
            LuaKit.push(raw, key)
            lua_rawget(raw, -2)
            defer { lk_pop(raw, 1) }
            switch value {
            case .table(let inner): result[key] = functions(named: inner)
            case .list(let elements): result[key] = functions(listed: elements)
            default: break
            }
        }
        return result
    }

    private func functions(named inner: [String: LuaValue]) -> FunctionTable {
        var result = FunctionTable()
        for case (let name, .other("function")) in inner {
            LuaKit.push(raw, name)
            lua_rawget(raw, -2)
            result.named[name] = LuaFunction(self, poppingFrom: raw)
        }
        return result
    }

    private func functions(listed elements: [LuaValue]) -> FunctionTable {
        var result = FunctionTable()
        for case (let index, .list(let pair)) in elements.enumerated() {
            guard pair.count == 2, case .other("function") = pair[1] else { continue }
            lua_rawgeti(raw, -1, lua_Integer(index) + 1)
            lua_rawgeti(raw, -1, 2)
            result.listed[index] = LuaFunction(self, poppingFrom: raw)
            lk_pop(raw, 1)
        }
        return result
    }

    /// Calls a function with a module's table and plain values.
    public func call(_ function: LuaFunction, module: String, _ arguments: [LuaValue]) throws(ErrorValue) {
        lua_checkstack(raw, CInt(arguments.count) + 4)
        lua_rawgeti(raw, lk_registry(), lua_Integer(function.reference))
        push(module: module)
        for argument in arguments { argument.push(to: raw) }
        try call(arguments: CInt(arguments.count) + 1, results: 0)
    }

    /// Errors that to-be-closed variables raised while another error was propagating, since the last call.
    public func takeFailuresOfClosing() -> [ErrorValue] {
        lk_take_closing(raw)
        return takeList { readError(raw) }
    }

    /// Errors that the script's own finalizers raised since the last call; also valid once the state is closed.
    public func takeFailuresOfFinalizers() -> [FailureOfFinalizer] {
        guard isOpen else {
            defer { failuresOfClosedState = [] }
            return failuresOfClosedState
        }
        lk_take_finalizing(raw)
        return takeList {
            LuaKit.push(raw, "era")
            lua_rawget(raw, -2)
            let era = LuaValue.read(raw, -1)
            lk_pop(raw, 1)
            guard case .integer(let number) = era else { return FailureOfFinalizer(error: readError(raw), era: nil) }
            return FailureOfFinalizer(error: readError(raw), era: Int(number))
        }
    }

    /// Pops the list at the top and returns its elements; `read` gets each one at the top of the stack.
    private func takeList<Element>(_ read: () -> Element) -> [Element] {
        defer { lk_pop(raw, 1) }
        return (0..<lua_rawlen(raw, -1)).map { index in
            lua_rawgeti(raw, -1, lua_Integer(index) + 1)
            defer { lk_pop(raw, 1) }
            return read()
        }
    }

    /// Runs a full collection, so that objects nobody holds are closed and finalized.
    public func collect() { lk_collect(raw) }
}

/// Reads the error table at the top of the stack, without popping it. Its fields are checked: a script may have changed
/// them.
func readError(_ state: OpaquePointer) -> ErrorValue {
    guard lua_type(state, -1) == LUA_TTABLE else { return ErrorValue(kind: .script, "an error that is no table") }
    lua_checkstack(state, 8)
    func field(_ key: String) -> LuaValue {
        push(state, key)
        lua_rawget(state, -2)
        defer { lk_pop(state, 1) }
        return LuaValue.read(state, -1, depth: 0)
    }
    func text(_ key: String) -> String? {
        if case .string(let value) = field(key) { return value }
        return nil
    }
    var error = ErrorValue(
        kind: text("kind").map(ErrorKind.init) ?? .script, text("message") ?? "an error without a message")
    // A script raised a plain table.
    push(state, "value")
    lua_rawget(state, -2)
    if lua_type(state, -1) == LUA_TTABLE {
        error.message = String(LuaValue.read(state, -1, depth: 3).shown.prefix(1000))
    }
    lk_pop(state, 1)
    error.position = text("where") ?? ""
    error.operation = text("operation")
    error.name = text("name")
    error.object = text("object")
    error.request = text("request")
    error.hint = text("hint")
    error.traceback = text("traceback")
    if let found = text("found"), let right = text("right") {
        error.wrong = WrongAnswer(found: found, right: right, what: text("what") ?? "")
    }
    if case .integer(let value) = field("errno") { error.errno = Int32(truncatingIfNeeded: value) }
    return error
}
