import CLua
import CLuaShims

/// The unit of a number that a function returns.
public enum Unit: String, Sendable {
    /// Of sizes, offsets and lengths.
    case bytes
    /// Of times.
    case nanoseconds = "ns"
    /// Of rates.
    case messagesPerSecond = "messages/s"
    /// Of rates.
    case bytesPerSecond = "bytes/s"
}

/// The type of what a function returns.
public indirect enum ResultType: Sendable {
    /// A 64-bit integer, in a unit where it has one.
    case integer(Unit?)
    /// A float.
    case number(Unit?)
    /// true or false.
    case boolean
    /// A string of any bytes.
    case string
    /// An object of the class with that name.
    case object(String)
    /// A table with the fields that it describes.
    case record(any ResultRecordDescription)
    /// A sequence.
    case list(ResultType)
    /// A table whose keys are names.
    case map(ResultType)
    /// That type, or nil.
    case optional(ResultType)
    /// Any value.
    case any

    /// An integer without a unit.
    public static var integer: ResultType { .integer(nil) }

    /// An object whose payload is `Payload`.
    public static func object<Payload: LuaObject & ~Copyable>(_ type: Payload.Type) -> ResultType {
        .object(Payload.luaName)
    }

    /// The record type inside it, if any.
    public var record: (any ResultRecordDescription)? {
        switch self {
        case .record(let record): record
        case .list(let type), .map(let type), .optional(let type): type.record
        default: nil
        }
    }
}

/// A type whose values can be pushed, with its description.
public protocol ResultValue: SendableMetatype {
    /// Its type, without a unit.
    static var resultType: ResultType { get }
    /// Pushes one value; the stack has room for eight.
    func push(to state: OpaquePointer)
}

extension ResultValue where Self: FixedWidthInteger {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .integer }
    /// Bit for bit.
    public func push(to state: OpaquePointer) { lua_pushinteger(state, Int64(truncatingIfNeeded: self)) }
}
extension Int: ResultValue {}
extension Int32: ResultValue {}
extension Int64: ResultValue {}
extension UInt16: ResultValue {}
extension UInt32: ResultValue {}
extension UInt64: ResultValue {}

extension Double: ResultValue {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .number(nil) }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) { lua_pushnumber(state, self) }
}

extension Bool: ResultValue {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .boolean }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) { lua_pushboolean(state, self ? 1 : 0) }
}

extension String: ResultValue {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .string }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) { LuaKit.push(state, self) }
}

/// A string of any bytes.
public struct Bytes: ResultValue, Sendable {
    let bytes: [UInt8]
    /// These bytes.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }
    /// See ``ResultValue``.
    public static var resultType: ResultType { .string }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) { LuaValue.bytes(bytes).push(to: state) }
}

extension Optional: ResultValue where Wrapped: ResultValue {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .optional(Wrapped.resultType) }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) {
        guard let self else { return lua_pushnil(state) }
        self.push(to: state)
    }
}

extension Array: ResultValue where Element: ResultValue {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .list(Element.resultType) }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) { pushList(self, to: state) { $0.push(to: state) } }
}

extension Dictionary: ResultValue where Key == String, Value: ResultValue {
    /// See ``ResultValue``.
    public static var resultType: ResultType { .map(Value.resultType) }
    /// See ``ResultValue``.
    public func push(to state: OpaquePointer) {
        lua_checkstack(state, 8)
        lua_createtable(state, 0, CInt(clamping: count))
        for (name, value) in self {
            LuaKit.push(state, name)
            value.push(to: state)
            lua_rawset(state, -3)
        }
    }
}

private func pushList<Element>(_ elements: [Element], to state: OpaquePointer, _ push: (Element) -> Void) {
    lua_checkstack(state, 8)
    lua_createtable(state, CInt(clamping: elements.count), 0)
    for (index, element) in elements.enumerated() {
        push(element)
        lua_rawseti(state, -2, lua_Integer(index + 1))
    }
}

// MARK: Tables

/// One field of a table that functions return: its help, and how it is pushed.
public struct ResultField<Source>: Sendable {
    /// Its key.
    public let name: String
    /// Its type; ``ResultType/optional(_:)`` where it is sometimes absent.
    public let type: ResultType
    /// One sentence for help and stubs.
    public let doc: String
    /// Its key before version 0.2, where renamed; scripts that still read that get an error with the new name.
    public private(set) var was: String?
    let push: @Sendable (Source, OpaquePointer) -> Void

    /// The same field, with its name before version 0.2.
    public func was(_ name: String) -> ResultField {
        var field = self
        field.was = name
        return field
    }

    /// A field with a plain value.
    public init<Value: ResultValue>(
        _ name: String, _ doc: String, _ value: @escaping @Sendable (Source) -> Value
    ) {
        self.name = name
        self.doc = doc
        type = Value.resultType
        push = { source, state in value(source).push(to: state) }
    }

    /// A field with a number in a unit.
    public init<Value: ResultValue>(
        _ name: String, _ unit: Unit, _ doc: String, _ value: @escaping @Sendable (Source) -> Value
    ) {
        self.name = name
        self.doc = doc
        type = Value.resultType.with(unit)
        push = { source, state in value(source).push(to: state) }
    }

    /// A field with a table, or nil.
    public init<Inner>(
        _ name: String, optional record: ResultRecord<Inner>, _ doc: String,
        _ value: @escaping @Sendable (Source) -> Inner?
    ) {
        self.name = name
        self.doc = doc
        type = .optional(.record(record))
        push = { source, state in
            guard let inner = value(source) else { return lua_pushnil(state) }
            record.push(inner, to: state)
        }
    }

    /// A field with a list of tables.
    public init<Inner>(
        _ name: String, list record: ResultRecord<Inner>, _ doc: String,
        _ value: @escaping @Sendable (Source) -> [Inner]
    ) {
        self.name = name
        self.doc = doc
        type = .list(.record(record))
        push = { source, state in pushList(value(source), to: state) { record.push($0, to: state) } }
    }
}

extension ResultType {
    fileprivate func with(_ unit: Unit) -> ResultType {
        switch self {
        case .integer: .integer(unit)
        case .number: .number(unit)
        case .optional(let type): .optional(type.with(unit))
        default: self
        }
    }
}

/// The description of a table that functions return, for help and stubs.
public protocol ResultRecordDescription: Sendable {
    /// The LuaLS type: "vfio.region".
    var name: String { get }
    /// What it is.
    var doc: String { get }
    /// Its fields.
    var described: [(name: String, type: ResultType, doc: String)] { get }
    /// Its fields' names, each with the name before version 0.2 where renamed.
    var members: [(name: String, was: String?)] { get }
}

/// A table that functions return, made from a `Source`. It has exactly these fields; reading another one is an error.
public struct ResultRecord<Source>: ResultRecordDescription {
    /// See ``ResultRecordDescription``.
    public let name: String
    /// See ``ResultRecordDescription``.
    public let doc: String
    let fields: [ResultField<Source>]

    /// Describes a table. Two fields of one name are a programming error, which ends the process.
    public init(_ name: String, _ doc: String, _ fields: [ResultField<Source>]) {
        #if DEBUG
            let names = fields.map(\.name) + fields.compactMap(\.was)
            precondition(Set(names).count == names.count, "\(name) has a field twice")
        #endif
        self.name = name
        self.doc = doc
        self.fields = fields
    }

    /// See ``ResultRecordDescription``.
    public var described: [(name: String, type: ResultType, doc: String)] {
        fields.map { (name: $0.name, type: $0.type, doc: $0.doc) }
    }

    /// See ``ResultRecordDescription``.
    public var members: [(name: String, was: String?)] { fields.map { (name: $0.name, was: $0.was) } }

    func push(_ source: Source, to state: OpaquePointer) {
        lua_checkstack(state, 8)
        lua_createtable(state, 0, CInt(clamping: fields.count))
        for field in fields {
            LuaKit.push(state, field.name)
            field.push(source, state)
            lua_rawset(state, -3)
        }
        if !lk_set_record(state, name) {
            LuaState.of(state).define(self)
            _ = lk_set_record(state, name)
        }
    }
}

extension Call {
    /// A described table.
    public func push<Source>(_ source: Source, as record: ResultRecord<Source>) -> CInt {
        record.push(source, to: state)
        return 1
    }

    /// A list of described tables.
    public func push<Source>(list sources: [Source], as record: ResultRecord<Source>) -> CInt {
        pushList(sources, to: state) { record.push($0, to: state) }
        return 1
    }

    /// A plain value of a type that can be described.
    public func push(value: some ResultValue) -> CInt {
        lua_checkstack(state, 8)
        value.push(to: state)
        return 1
    }
}
