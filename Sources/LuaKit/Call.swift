public import CLuaShims

/// One decoded argument. The function's description, which C has enforced, says which accessor is valid.
@frozen
public struct Argument {
    @usableFromInline let value: UnsafePointer<lk_value>

    @inlinable
    init(_ value: UnsafePointer<lk_value>) { self.value = value }

    /// False where an optional argument was left out.
    @inlinable public var isPresent: Bool { value.pointee.present }
    /// An integer, size, boolean, choice or set of flags.
    @inlinable public var int64: Int64 { value.pointee.integer }
    /// `int64`, bit for bit.
    @inlinable public var uint64: UInt64 { UInt64(bitPattern: value.pointee.integer) }
    /// The low 32 bits.
    @inlinable public var uint32: UInt32 { UInt32(truncatingIfNeeded: value.pointee.integer) }
    /// The low 32 bits, signed.
    @inlinable public var int32: Int32 { Int32(truncatingIfNeeded: value.pointee.integer) }
    /// As an `Int`.
    @inlinable public var int: Int { Int(value.pointee.integer) }
    /// A boolean.
    @inlinable public var bool: Bool { value.pointee.integer != 0 }
    /// A float.
    @inlinable public var double: Double { value.pointee.number }
    /// The stack index of an `any`, or of an object argument.
    @inlinable public var index: CInt { CInt(truncatingIfNeeded: value.pointee.count) }
    /// The bytes of a string; valid during the call.
    @inlinable public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: value.pointee.pointer, count: value.pointee.count)
    }
    /// A string; ill-formed UTF-8 is replaced.
    public var string: String { String(decoding: bytes, as: UTF8.self) }

    /// The payload of an object argument.
    @inlinable
    public func object<Payload: LuaObject & ~Copyable>(_ type: Payload.Type) -> UnsafeMutablePointer<Payload> {
        UnsafeMutableRawPointer(mutating: value.pointee.pointer.unsafelyUnwrapped)
            .assumingMemoryBound(to: Payload.self)
    }

    /// An element of a list.
    @inlinable
    public subscript(_ item: Int) -> Argument {
        Argument(value.pointee.pointer.unsafelyUnwrapped.assumingMemoryBound(to: lk_value.self) + item)
    }

    /// Elements of a list.
    @inlinable public var count: Int { value.pointee.count }
}

/// A call of a described function, in progress.
@frozen
public struct Call {
    /// The Lua thread that called.
    public let state: OpaquePointer
    @usableFromInline let values: UnsafePointer<lk_value>

    /// From the arguments that the trampoline passes to an entry.
    @inlinable
    public init(_ state: OpaquePointer, _ values: UnsafePointer<lk_value>) {
        self.state = state
        self.values = values
    }

    /// The argument at that index in the description; the receiver of a method is 0.
    @inlinable
    public subscript(_ index: Int) -> Argument { Argument(values + index) }

    /// The context object that ``LuaState`` was made with.
    @inlinable
    public func context<Context: AnyObject>(_ type: Context.Type) -> Context {
        Unmanaged<Context>.fromOpaque(lk_context(state)).takeUnretainedValue()
    }

    /// Runs a function's body. An error becomes an error table on the stack and -1, which C raises after this frame is
    /// gone.
    @inlinable @inline(__always)
    public func run(_ body: (Call) throws -> CInt) -> CInt {
        do {
            return try body(self)
        } catch {
            return fail(error)
        }
    }

    /// Pushes an error and returns -1, on which C raises it.
    public func fail(_ error: any Error) -> CInt {
        let value = (error as? any LuaError)?.luaError ?? ErrorValue(kind: .script, "\(error)")
        pushError(state, (LuaState.of(state).contextObject as? any ErrorExplainer)?.explained(value) ?? value)
        return -1
    }
}

func pushError(_ state: OpaquePointer, _ error: ErrorValue) {
    lua_checkstack(state, 8)
    lua_createtable(state, 0, 13)
    let fields: [(String, String?)] = [
        ("kind", error.kind.text), ("message", error.message), ("operation", error.operation), ("name", error.name),
        ("object", error.object), ("request", error.request), ("hint", error.hint), ("traceback", error.traceback),
        ("where", error.position.isEmpty ? nil : error.position), ("found", error.wrong?.found),
        ("right", error.wrong?.right), ("what", error.wrong?.what),
    ]
    for case (let key, let text?) in fields where !text.isEmpty {
        push(state, key)
        push(state, text)
        lua_rawset(state, -3)
    }
    if let errno = error.errno {
        push(state, "errno")
        lua_pushinteger(state, lua_Integer(errno))
        lua_rawset(state, -3)
    }
    lk_make_error(state)
}

func push(_ state: OpaquePointer, _ text: String) {
    var text = text
    text.withUTF8 { bytes in
        _ = bytes.withMemoryRebound(to: CChar.self) { lua_pushlstring(state, $0.baseAddress, $0.count) }
    }
}

/// Results. Each pushes one value and returns 1, so that `return call.push(x)` ends a body.
extension Call {
    /// Nothing.
    @inlinable public var nothing: CInt { 0 }

    /// An integer.
    @inlinable
    public func push(_ value: Int64) -> CInt {
        lua_pushinteger(state, value)
        return 1
    }

    /// An unsigned integer, bit for bit.
    @inlinable
    public func push(_ value: UInt64) -> CInt { push(Int64(bitPattern: value)) }

    /// A boolean.
    @inlinable
    public func push(_ value: Bool) -> CInt {
        lua_pushboolean(state, value ? 1 : 0)
        return 1
    }

    /// A string.
    public func push(_ text: String) -> CInt {
        LuaKit.push(state, text)
        return 1
    }

    /// Bytes.
    public func push(_ bytes: UnsafeRawBufferPointer) -> CInt {
        lua_pushlstring(state, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        return 1
    }

    /// Any plain value.
    public func push(_ value: LuaValue) -> CInt {
        value.push(to: state)
        return 1
    }

    /// Pushes the value at a stack index again.
    public func pushArgument(at index: CInt) -> CInt {
        lua_pushvalue(state, index)
        return 1
    }

    /// A new object of the payload's class. It keeps the value at stack index `parent` alive; 0 for none. Messages name
    /// it by `label`.
    public func push<Payload: LuaObject & ~Copyable>(
        object payload: consuming Payload, parent: CInt, label: String
    ) -> CInt {
        LuaState.of(state).push(object: payload, on: state, parent: parent, label: .text(label))
        return 1
    }

    /// Counts bytes allocated outside Lua towards the script's memory limit; throws a "memory" error where they exceed
    /// it. They count until ``release(_:)``, or until an object that got them by ``holdUntilClosed(_:)`` is closed. It may
    /// run a collection with finalizers, which can close objects and descriptors: check those afterwards, not before.
    public func hold(_ bytes: Int, _ function: String) throws(ErrorValue) {
        guard !lk_hold(state, bytes) else { return }
        let limit = memoryLimit
        let unit = limit >= 1 << 20 ? "\(limit >> 20) MiB" : "\(limit) bytes"
        throw ErrorValue(
            kind: .memory,
            "\(function): not enough memory: \(bytes) bytes are more than is left of the \(unit) that the script may have (--memory, or the "
                + "scenario's own limit)")
    }

    /// The script's memory limit in bytes; all ones where there is none.
    public var memoryLimit: UInt64 { UInt64(UInt(bitPattern: lk_memory_limit(state))) }

    /// Stops counting bytes that ``hold(_:_:)`` counted.
    public func release(_ bytes: Int) { lk_release(state, bytes) }

    /// Has the object just pushed release counted bytes when it is closed.
    public func holdUntilClosed(_ bytes: Int) { lk_hold_until_closed(state, bytes) }

    /// Counts bytes, then calls `make`, which pushes an object. They count until that object is closed; not at all
    /// where `make` throws.
    public func holding(_ bytes: Int, _ function: String, _ make: () throws -> CInt) throws -> CInt {
        try hold(bytes, function)
        do {
            let results = try make()
            holdUntilClosed(bytes)
            return results
        } catch {
            release(bytes)
            throw error
        }
    }

    /// Keeps an object argument alive as long as the object just pushed, which uses it. `slot` is 0 to 2, different for
    /// each argument.
    public func keep(_ argument: Argument, at slot: CInt = 0) {
        if argument.isPresent { lk_keep(state, slot, argument.index) }
    }

    /// As ``push(object:parent:label:)``, but messages name it by a hexadecimal number, which is cheaper.
    public func push<Payload: LuaObject & ~Copyable>(
        object payload: consuming Payload, parent: CInt, number: UInt32
    ) -> CInt {
        LuaState.of(state).push(object: payload, on: state, parent: parent, label: .number(number))
        return 1
    }
}

/// The close function of a class; see ``ObjectClass``.
public func closeObject<Payload: LuaObject & ~Copyable>(
    _ state: OpaquePointer, _ payload: UnsafeMutableRawPointer, _ collecting: Bool, _ type: Payload.Type
) -> lk_closing {
    let object = payload.assumingMemoryBound(to: Payload.self)
    do {
        try object.pointee.close()
        return LK_CLOSED
    } catch {
        let error = (error as? any LuaError)?.luaError ?? ErrorValue(kind: .script, "\(error)")
        guard collecting else {
            pushError(state, error)
            return object.pointee.isOpen ? LK_STILL_OPEN : LK_CLOSED_WITH_ERROR
        }
        LuaState.of(state).failuresWhileCollecting.append(error)
        return LK_CLOSED
    }
}

/// The destroy function of a class; see ``ObjectClass``.
public func destroyObject<Payload: LuaObject & ~Copyable>(
    _ payload: UnsafeMutableRawPointer, _ type: Payload.Type
) {
    payload.assumingMemoryBound(to: Payload.self).deinitialize(count: 1)
}

/// `any` arguments.
extension Call {
    /// A plain value, read from the stack. Contents of tables are not read.
    public func value(of argument: Argument) -> LuaValue { LuaValue.read(state, argument.index, depth: 0) }

    /// A plain value with the contents of tables; strings that are not UTF-8 stay bytes.
    public func deepValue(of argument: Argument) -> LuaValue { LuaValue.read(state, argument.index, keepsBytes: true) }

    /// Whether nothing, or nil, was given.
    public func isNil(_ argument: Argument) -> Bool { lua_type(state, argument.index) <= LUA_TNIL }

    /// The result of Lua's `tostring`.
    public func text(of argument: Argument) -> String {
        lua_checkstack(state, 8)
        lk_push_text(state, argument.index)
        defer { lk_pop(state, 1) }
        return LuaValue.text(state, -1)
    }

    /// The bytes of a string, valid during the call; nil for any other type.
    public func bytes(of argument: Argument) -> UnsafeRawBufferPointer? {
        var length = 0
        guard let bytes = lk_to_bytes(state, argument.index, &length) else { return nil }
        return UnsafeRawBufferPointer(start: bytes, count: length)
    }
}
