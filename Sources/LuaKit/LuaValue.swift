import CLua
import CLuaShims

/// A plain value that crosses between Lua and Swift.
public enum LuaValue: Sendable, Equatable {
    /// nil
    case none
    /// true or false
    case boolean(Bool)
    /// A 64-bit integer.
    case integer(Int64)
    /// A float.
    case number(Double)
    /// A string; ill-formed UTF-8 is replaced.
    case string(String)
    /// Bytes, on the way to Lua.
    case bytes([UInt8])
    /// A sequence.
    case list([LuaValue])
    /// A table whose keys are names, sorted by them when pushed.
    case table([String: LuaValue])
    /// A value that is not plain, such as a function, userdata or coroutine: its description for messages.
    case other(String)

    /// The name of its Lua type.
    public var typeName: String {
        switch self {
        case .none: "nil"
        case .boolean: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string, .bytes: "string"
        case .list, .table: "table"
        case .other(let name): name
        }
    }

    /// Written as in Lua, for messages; a table's names are sorted.
    var shown: String {
        switch self {
        case .none: return "nil"
        case .boolean(let value): return "\(value)"
        case .integer(let value): return "\(value)"
        case .number(let value): return "\(value)"
        case .string(let value): return "\"\(value)\""
        case .bytes(let bytes): return "\(bytes.count) bytes"
        case .list(let values): return "{" + values.map(\.shown).joined(separator: ", ") + "}"
        case .table(let fields):
            let sorted = fields.sorted { $0.key < $1.key }
            return "{" + sorted.map { "\($0.key) = \($0.value.shown)" }.joined(separator: ", ") + "}"
        case .other(let name): return "a \(name)"
        }
    }

    /// Reads the value at a stack index, with tables down to `depth`. An empty table is an empty `.table`. A table that
    /// cannot be passed on (it contains itself, or has keys other than names) becomes `.other` with the reason.
    static func read(_ state: OpaquePointer, _ index: CInt, depth: Int = 8, keepsBytes: Bool = false) -> LuaValue {
        // Limits values and bytes: a table may contain itself, or one long string many times. Lua stores that string once;
        // here each occurrence is a copy.
        let isTable = lua_type(state, index) == LUA_TTABLE
        var reading = Reading(room: 1_000_000, bytes: isTable ? 64 << 20 : .max, keepsBytes: keepsBytes)
        return read(state, index, depth, &reading)
    }

    private static let tooLarge = "table that is too large (1,000,000 values, 64 MiB of text)"

    private struct Reading {
        /// How many values may still be read.
        var room: Int
        /// How many bytes of strings may still be copied.
        var bytes: Int
        let keepsBytes: Bool

        /// Counts the string at a stack index. Where it does not fit, nothing more is read.
        mutating func takes(_ state: OpaquePointer, _ index: CInt) -> Bool {
            let length = Int(clamping: lua_rawlen(state, index))
            guard length <= bytes else {
                room = 0
                return false
            }
            bytes -= length
            return true
        }
    }

    private static func read(_ state: OpaquePointer, _ index: CInt, _ depth: Int, _ reading: inout Reading)
        -> LuaValue
    {
        reading.room -= 1
        switch lua_type(state, index) {
        case LUA_TNIL, LUA_TNONE: return .none
        case LUA_TBOOLEAN: return .boolean(lua_toboolean(state, index) != 0)
        case LUA_TNUMBER:
            return lua_isinteger(state, index) != 0
                ? .integer(lua_tointegerx(state, index, nil)) : .number(lua_tonumberx(state, index, nil))
        case LUA_TSTRING where !reading.takes(state, index): return .other(tooLarge)
        case LUA_TSTRING:
            guard reading.keepsBytes else { return .string(text(state, index)) }
            return name(state, index).map { .string($0) } ?? .bytes(bytes(state, index))
        case LUA_TTABLE where depth > 0 && reading.room > 0:
            return readTable(state, lua_absindex(state, index), depth - 1, &reading)
        case LUA_TTABLE:
            return .other(depth > 0 ? tooLarge : "table that is nested too deep")
        default: return .other(String(cString: lua_typename(state, lua_type(state, index))))
        }
    }

    private static func readTable(
        _ state: OpaquePointer, _ index: CInt, _ depth: Int, _ reading: inout Reading
    ) -> LuaValue {
        lua_checkstack(state, 8)
        var list: [LuaValue] = []
        // Reads up to the first hole: for a table with holes, Lua's length operator may give any border.
        while reading.room > 0 {
            lua_rawgeti(state, index, lua_Integer(list.count + 1))
            defer { lk_pop(state, 1) }
            if lua_type(state, -1) == LUA_TNIL { break }
            list.append(read(state, -1, depth, &reading))
        }
        guard reading.room > 0 else { return .other(tooLarge) }
        if !list.isEmpty {
            // Named keys beside list elements are an error; they would be dropped otherwise.
            return hasMore(state, index, than: list.count)
                ? .other("table that is both a list and has names (or a list with holes)") : .list(list)
        }
        var fields: [String: LuaValue] = [:]
        lua_pushnil(state)
        while lk_next(state, index) {
            guard reading.room > 0 else {
                lk_pop(state, 2)
                return .other(tooLarge)
            }
            let isRoom = lua_type(state, -2) != LUA_TSTRING || reading.takes(state, -2)
            guard isRoom else {
                lk_pop(state, 2)
                return .other(tooLarge)
            }
            guard let name = name(state, -2), fields[name] == nil else {
                let wrong = describe(state, -2)
                lk_pop(state, 2)
                return .other(wrong)
            }
            fields[name] = read(state, -1, depth, &reading)
            lk_pop(state, 1)
        }
        return .table(fields)
    }

    /// A key as a name; nil for keys that are not UTF-8 strings.
    private static func name(_ state: OpaquePointer, _ index: CInt) -> String? {
        var length = 0
        guard let bytes = lk_to_bytes(state, index, &length) else { return nil }
        return String(validating: UnsafeBufferPointer(start: bytes, count: length), as: UTF8.self)
    }

    private static func hasMore(_ state: OpaquePointer, _ index: CInt, than count: Int) -> Bool {
        var entries = 0
        lua_pushnil(state)
        while lk_next(state, index) {
            lua_settop(state, -2)
            entries += 1
            guard entries <= count else {
                lua_settop(state, -2)
                return true
            }
        }
        return false
    }

    private static func describe(_ state: OpaquePointer, _ index: CInt) -> String {
        if name(state, index) != nil { return "table with the same name twice, spelled differently" }
        return "table with "
            + (lua_type(state, index) == LUA_TSTRING ? "a name that is not UTF-8" : "a key that is no name")
    }

    private static func bytes(_ state: OpaquePointer, _ index: CInt) -> [UInt8] {
        var length = 0
        guard let bytes = lk_to_bytes(state, index, &length) else { return [] }
        return Array(UnsafeRawBufferPointer(start: bytes, count: length))
    }

    static func text(_ state: OpaquePointer, _ index: CInt) -> String {
        var length = 0
        guard let bytes = lk_to_bytes(state, index, &length) else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: length), as: UTF8.self)
    }

    func push(to state: OpaquePointer) {
        lua_checkstack(state, 8)
        switch self {
        case .none, .other: lua_pushnil(state)
        case .boolean(let value): lua_pushboolean(state, value ? 1 : 0)
        case .integer(let value): lua_pushinteger(state, value)
        case .number(let value): lua_pushnumber(state, value)
        case .string(let value): LuaKit.push(state, value)
        case .bytes(let value):
            value.withUnsafeBytes {
                _ = lua_pushlstring(state, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
            }
        case .list(let values):
            lua_createtable(state, CInt(clamping: values.count), 0)
            for (index, value) in values.enumerated() {
                value.push(to: state)
                lua_rawseti(state, -2, lua_Integer(index + 1))
            }
        case .table(let fields):
            lua_createtable(state, 0, CInt(clamping: fields.count))
            for (name, value) in fields {
                LuaKit.push(state, name)
                value.push(to: state)
                lua_rawset(state, -3)
            }
        }
    }
}

/// Reads a size in bytes, as `--set` and scripts may give it ("4096", "0x1000", "64K"); nil where malformed.
public func parseSize(_ text: String) -> Int64? {
    var result: Int64 = 0
    return lk_parse_size(text, text.utf8.count, &result) ? result : nil
}

/// "; did you mean '64K'?" for a text that is no size and means one ("64k", "64 KB"); empty for others.
public func nearSize(_ text: String) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(LK_NEAR_SIZE)) { near in
        guard let start = near.baseAddress, lk_near_size(text, text.utf8.count, start) else { return "" }
        return "; did you mean '\(String(cString: start))'?"
    }
}

/// Reads a time in milliseconds, as scripts may give it ("150ms", "1.5s", "2m", "1h"); nil where malformed.
public func parseTime(_ text: String) -> Int64? {
    var result: Int64 = 0
    return lk_parse_time(text, &result) ? result : nil
}

/// The candidate nearest to `word`, for "did you mean"; nil where none is near.
public func nearest(to word: String, in candidates: some Sequence<String>) -> String? {
    let scored = candidates.map { (name: $0, distance: Int(lk_distance(word, $0))) }
    guard let best = scored.min(by: { $0.distance < $1.distance }) else { return nil }
    return best.distance <= word.utf8.count / 2 ? best.name : nil
}
