import CLua
import CLuaShims

/// Texts that are run one after the other in one state, with variables of their own: what a user types.
public final class Session {
    /// What became of a text.
    public enum Outcome {
        /// It needs more text.
        case incomplete
        /// It ran; the text of its results, nil where it has none.
        case done(String?)
    }

    /// What a value is, for completion and help.
    public enum Kind: Equatable {
        /// A described function, an object or a table that a function returned, by its name.
        case described(String)
        /// A module of the host's.
        case module(String)
        /// A table, with its names.
        case table([String])
        /// Text.
        case string(String)
        /// Any other type, by its name.
        case other(String)
    }

    private let state: LuaState
    /// References to the table of variables, and to the function that makes texts of results.
    private let environment: CInt, shown: CInt
    /// Modules whose tables are compared.
    private let modules: [String]

    /// A session in a state. The module `support` returns a table with `environment`, the table of variables, and
    /// `shown`, which makes a text of results.
    public init(in state: LuaState, support: String, modules: [String]) throws(ErrorValue) {
        self.state = state
        self.modules = modules
        let text = "local it = require \"\(support)\" return it.shown, it.environment"
        try state.load(state.raw, Array(text.utf8), name: "=session")
        try state.call(arguments: 0, results: 2)
        environment = luaL_ref(state.raw, lk_registry())
        shown = luaL_ref(state.raw, lk_registry())
    }

    /// Runs a text: an expression, whose values are shown, or statements. An error ends it; the session goes on.
    /// Errors count lines from `line`, so that those of different texts are not taken for each other.
    public func run(_ text: String, name: String, from line: Int = 1) throws(ErrorValue) -> Outcome {
        let raw = state.raw
        let base = lua_gettop(raw)
        defer { lua_settop(raw, base) }
        guard try compile(text, name: name, below: String(repeating: "\n", count: line - 1)) else { return .incomplete }
        setEnvironment()
        try state.call(arguments: 0, results: LUA_MULTRET)
        let count = lua_gettop(raw) - base
        guard count > 0 else { return .done(nil) }
        unlimited {
            lua_checkstack(raw, 8)
            LuaKit.push(raw, "_")
            lua_pushvalue(raw, base + 1)
            setVariable()
            lua_rawgeti(raw, lk_registry(), lua_Integer(shown))
        }
        lua_rotate(raw, base + 1, 1)
        try state.call(arguments: count, results: 1)
        return .done(LuaValue.text(raw, -1))
    }

    /// Pushes a text as a function: an expression, else statements; false where it needs more text.
    private func compile(_ text: String, name: String, below: String) throws(ErrorValue) -> Bool {
        func isCutOff(_ error: ErrorValue) -> Bool { error.message.hasSuffix("near <eof>") }
        do throws(ErrorValue) {
            try state.load(state.raw, Array("\(below)return \(text)".utf8), name: "=\(name)")
        } catch {
            if isCutOff(error) { return false }
            do throws(ErrorValue) {
                try state.load(state.raw, Array("\(below)\(text)".utf8), name: "=\(name)")
            } catch {
                if isCutOff(error) { return false }
                throw error
            }
        }
        return true
    }

    /// Gives the function at the top the session's variables. One that names no global has no such upvalue.
    private func setEnvironment() {
        lua_rawgeti(state.raw, lk_registry(), lua_Integer(environment))
        if lua_setupvalue(state.raw, -2, 1) == nil { lk_pop(state.raw, 1) }
    }

    /// Does what needs little memory where no error can be raised, also where lines have used all that they may.
    private func unlimited<Result>(_ body: () -> Result) -> Result {
        let limit = lk_memory_limit(state.raw)
        lk_limit_memory(state.raw, .max)
        defer { lk_limit_memory(state.raw, limit) }
        return body()
    }

    /// Sets a variable of the session; name and value are at the top, and are popped.
    private func setVariable() {
        lua_rawgeti(state.raw, lk_registry(), lua_Integer(environment))
        lua_rotate(state.raw, -3, 1)
        lua_rawset(state.raw, -3)
        lk_pop(state.raw, 1)
    }

    /// Lets the state run again after a signal stopped a text.
    public func goOn() { lk_resume(state.raw) }

    /// What an expression's first value is; nil where it is nil.
    public func kind(of expression: String) throws(ErrorValue) -> Kind? {
        let raw = state.raw
        let base = lua_gettop(raw)
        defer { lua_settop(raw, base) }
        try state.load(raw, Array("return \(expression)".utf8), name: "=help")
        setEnvironment()
        try state.call(arguments: 0, results: 1)
        return unlimited(kind)
    }

    /// What a variable's field is, found without running anything: ["dev"], ["info", "flags"].
    public func kind(of path: [String]) -> Kind? { unlimited { found(path) } }

    private func found(_ path: [String]) -> Kind? {
        let raw = state.raw
        let base = lua_gettop(raw)
        defer { lua_settop(raw, base) }
        lua_checkstack(raw, 16)
        lua_rawgeti(raw, lk_registry(), lua_Integer(environment))
        for (index, name) in path.enumerated() {
            guard lua_type(raw, -1) == LUA_TTABLE else { return nil }
            LuaKit.push(raw, name)
            lua_rawget(raw, -2)
            guard index == 0, lua_type(raw, -1) == LUA_TNIL else { continue }
            if modules.contains(name) {
                state.push(module: name)
            } else {
                lua_rawgeti(raw, lk_registry(), lua_Integer(LUA_RIDX_GLOBALS))
                LuaKit.push(raw, name)
                lua_rawget(raw, -2)
            }
        }
        return kind()
    }

    /// The names of the session's variables.
    public var variables: [String] {
        unlimited {
            lua_checkstack(state.raw, 8)
            lua_rawgeti(state.raw, lk_registry(), lua_Integer(environment))
            defer { lk_pop(state.raw, 1) }
            return names()
        }
    }

    /// What the value at the top is.
    private func kind() -> Kind? {
        let raw = state.raw
        if lua_type(raw, -1) == LUA_TNIL { return nil }
        if let name = lk_described(raw, -1) { return .described(String(cString: name)) }
        if lua_type(raw, -1) == LUA_TSTRING { return .string(LuaValue.text(raw, -1)) }
        guard lua_type(raw, -1) == LUA_TTABLE else {
            return .other(String(cString: lua_typename(raw, lua_type(raw, -1))))
        }
        for module in modules {
            lk_get_module(raw, module)
            defer { lk_pop(raw, 1) }
            if lua_rawequal(raw, -1, -2) != 0 { return .module(module) }
        }
        return .table(names())
    }

    /// Names of the table at the top.
    private func names() -> [String] {
        var names: [String] = []
        lua_pushnil(state.raw)
        while lk_next(state.raw, -2) {
            if lua_type(state.raw, -2) == LUA_TSTRING, names.count < 1000 { names.append(LuaValue.text(state.raw, -2)) }
            lk_pop(state.raw, 1)
        }
        return names.sorted()
    }
}
