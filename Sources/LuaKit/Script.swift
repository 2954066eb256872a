import CLua
import CLuaShims

/// A Lua function, kept alive by this reference.
public final class LuaFunction {
    private let owner: LuaState
    fileprivate let reference: CInt
    /// The line of its file on which it is defined; 0 for a chunk.
    public let line: Int

    fileprivate init(_ owner: LuaState, poppingFrom state: OpaquePointer) {
        self.owner = owner
        line = Int(lk_function_line(state, -1))
        reference = luaL_ref(state, lk_registry())
    }

    deinit { luaL_unref(owner.raw, lk_registry(), reference) }
}

/// What a script's file returned.
public enum ScriptResult {
    /// Nothing: the file was the script.
    case none
    /// A table with names for keys; functions found in the table `cases` are returned apart, by name.
    case table([String: LuaValue], functions: [String: [String: LuaFunction]])
    /// Anything else, by its type's name.
    case other(String)
}

extension LuaState {
    /// Compiles a file's text, runs it and looks at what it returns.
    public func run(_ text: [UInt8], name: String) throws(ErrorValue) -> ScriptResult {
        try load(raw, text, name: name)
        try call(arguments: 0, results: 1)
        defer { lk_pop(raw, 1) }
        switch LuaValue.read(raw, -1) {
        case .none: return .none
        case .table(let fields): return .table(fields, functions: functions(inTables: fields))
        case .list: return .other("list")
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
    private func functions(inTables fields: [String: LuaValue]) -> [String: [String: LuaFunction]] {
        var result: [String: [String: LuaFunction]] = [:]
        for case (let key, .table(let inner)) in fields {
            LuaKit.push(raw, key)
            lua_rawget(raw, -2)
            for case (let name, .other("function")) in inner {
                LuaKit.push(raw, name)
                lua_rawget(raw, -2)
                result[key, default: [:]][name] = LuaFunction(self, poppingFrom: raw)
            }
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

    /// Runs a full collection, so that objects nobody holds are closed.
    public func collect() { lk_collect(raw) }
}

/// The error table at the top of the stack, which stays there. A script may have put anything else into it.
func readError(_ state: OpaquePointer) -> ErrorValue {
    guard lua_type(state, -1) == LUA_TTABLE else { return ErrorValue(kind: "script", "an error that is no table") }
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
    var error = ErrorValue(kind: text("kind") ?? "script", text("message") ?? "an error without a message")
    error.position = text("where") ?? ""
    error.operation = text("operation")
    error.name = text("name")
    error.object = text("object")
    error.request = text("request")
    error.hint = text("hint")
    error.traceback = text("traceback")
    if case .integer(let value) = field("errno") { error.errno = Int32(truncatingIfNeeded: value) }
    return error
}
