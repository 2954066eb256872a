public import CLuaShims
import Synchronization

/// A Swift type that a key's value can have.
public protocol KeyValue {
    /// The Lua type of a key whose type is not given; nil where each key must give it.
    static var luaType: LuaType? { get }
    /// Whether this type can represent every value of that Lua type.
    static func holds(_ type: LuaType) -> Bool
    /// Converts a decoded argument to this type.
    static func read(_ argument: Argument) -> Self
    /// The integer by which C represents this value; nil for types that cannot have a default.
    var decoded: Int64? { get }
    /// Whether a key of this type may be left out.
    static var isOptional: Bool { get }
}

extension KeyValue {
    /// No default.
    public var decoded: Int64? { nil }
    /// It must be given, unless it has a default.
    public static var isOptional: Bool { false }
}

/// A key of a table argument, of any Swift type.
public protocol TableKey: Sendable {
    /// Its type for C, and its help.
    var parameter: Parameter { get }
    /// A number unique in the process.
    var id: UInt32 { get }
}

extension TableKey {
    /// Its name in scripts.
    public var name: String { parameter.name }
    /// Its Lua type.
    public var type: LuaType { parameter.type }
}

private let keyCount = Atomic<UInt32>(0)

/// A key of a table argument. Keys describe the table, and functions read its values by them: `table[size]`. Only values of
/// a ``KeyValue`` make one: that the type itself does not require it spares a search through all conformances of the
/// program for each type of key, about 150,000 instructions at start.
public struct Key<Value>: TableKey {
    /// See ``TableKey``.
    public private(set) var parameter: Parameter
    /// See ``TableKey``.
    public let id: UInt32

    /// The same key, with its name before version 0.2.
    public func was(_ name: String) -> Key {
        var key = self
        key.parameter.was = name
        return key
    }
}

extension Key where Value: KeyValue {
    /// A key of the Lua type that `Value` has.
    public init(_ name: String, default fallback: Value? = nil, _ doc: String) {
        guard let type = Value.luaType else { preconditionFailure("key '\(name)' needs a Lua type") }
        self.init(name, type, default: fallback, doc)
    }

    /// A key. It may be left out where `Value` is optional, or where it has a default. A Lua type with values that
    /// `Value` cannot represent is a programming error, which ends the process.
    public init(_ name: String, _ type: LuaType, default fallback: Value? = nil, _ doc: String) {
        guard Value.holds(type) else {
            preconditionFailure("key '\(name)': not every value of its Lua type is a \(Value.self)")
        }
        let absence: Parameter.Fallback
        if Value.isOptional {
            absence = .absent
        } else if let fallback {
            guard let decoded = fallback.decoded else { preconditionFailure("key '\(name)': no default can be given") }
            absence = .integer(decoded)
        } else {
            absence = .required
        }
        parameter = Parameter(name, type, absence, doc)
        id = keyCount.add(1, ordering: .relaxed).newValue
    }
}

/// A decoded table argument. Where the table was left out, every key has its fallback.
@frozen
public struct Table {
    @usableFromInline let items: UnsafePointer<lk_value>
    @usableFromInline let ids: UnsafePointer<UInt32>
    @usableFromInline let count: Int

    @inlinable
    init(_ value: UnsafePointer<lk_value>) {
        items = value.pointee.pointer.unsafelyUnwrapped.assumingMemoryBound(to: lk_value.self)
        ids = value.pointee.keys.unsafelyUnwrapped
        count = value.pointee.count
    }

    /// A key's value.
    @inlinable
    public subscript<Value: KeyValue>(_ key: Key<Value>) -> Value { Value.read(argument(key)) }

    /// A key's value, as C decoded it.
    @inlinable
    public func argument<Value>(_ key: Key<Value>) -> Argument {
        let id = key.id
        var index = 0
        while index < count {
            if ids[index] == id { return Argument(items + index) }
            index += 1
        }
        undescribed(key)
    }

    @usableFromInline
    func undescribed(_ key: some TableKey) -> Never {
        preconditionFailure("key '\(key.name)' is read from a table that is not described with it")
    }
}

extension Argument {
    /// A table.
    @inlinable public var table: Table { Table(value) }
}

extension Call {
    /// Keeps the object that a key gives alive as long as the object just pushed, which uses it. `place` is 0 to 2,
    /// different for each object.
    public func keep<Value>(_ key: Key<Value>, of table: Table, at place: CInt = 0) {
        keep(table.argument(key), at: place)
    }
}

// MARK: Types of keys

extension Optional: KeyValue where Wrapped: KeyValue {
    /// See ``KeyValue``.
    public static var luaType: LuaType? { Wrapped.luaType }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool { Wrapped.holds(type) }
    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> Wrapped? { argument.isPresent ? Wrapped.read(argument) : nil }
    /// See ``KeyValue``.
    public static var isOptional: Bool { true }
}

extension KeyValue where Self: FixedWidthInteger {
    /// Any number that fits; for types of 64 bits any number, bit for bit.
    public static var luaType: LuaType? { .integer(Int64(clamping: Self.min)...Int64(clamping: Self.max)) }

    /// Integers, sizes, times, choices and flags within its range; for types of 64 bits any, bit for bit.
    public static func holds(_ type: LuaType) -> Bool {
        func fits(_ value: Int64) -> Bool { bitWidth == 64 || Self(exactly: value) != nil }
        switch type {
        case .integer(let range), .size(let range), .time(let range):
            return fits(range.lowerBound) && fits(range.upperBound)
        case .choice(let names): return names.allSatisfy { fits($0.value) }
        case .flags(let names): return fits(names.reduce(0) { $0 | $1.value })
        default: return false
        }
    }

    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> Self { Self(truncatingIfNeeded: argument.int64) }
    /// See ``KeyValue``.
    public var decoded: Int64? { Int64(truncatingIfNeeded: self) }
}

extension Int: KeyValue {}
extension Int32: KeyValue {}
extension Int64: KeyValue {}
extension UInt8: KeyValue {}
extension UInt16: KeyValue {}
extension UInt32: KeyValue {}
extension UInt64: KeyValue {
    /// Any number, bit for bit.
    public static var luaType: LuaType? { .uint64 }
}

extension Bool: KeyValue {
    /// See ``KeyValue``.
    public static var luaType: LuaType? { .boolean }
    /// true and false, or two names whose values are 1 and 0.
    public static func holds(_ type: LuaType) -> Bool {
        switch type {
        case .boolean: true
        case .choice(let names): names.allSatisfy { [0, 1].contains($0.value) }
        default: false
        }
    }
    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> Bool { argument.bool }
    /// See ``KeyValue``.
    public var decoded: Int64? { self ? 1 : 0 }
}

extension Double: KeyValue {
    /// See ``KeyValue``.
    public static var luaType: LuaType? { .number }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool { if case .number = type { true } else { false } }
    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> Double { argument.double }
}

extension String: KeyValue {
    /// See ``KeyValue``.
    public static var luaType: LuaType? { .string }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool { if case .string = type { true } else { false } }
    /// See ``KeyValue``.
    public static func read(_ argument: Argument) -> String { argument.string }
}

/// A string's bytes, valid during the call.
extension UnsafeRawBufferPointer: KeyValue {
    /// See ``KeyValue``.
    public static var luaType: LuaType? { .string }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool { String.holds(type) }
    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> UnsafeRawBufferPointer { argument.bytes }
}

/// The payload of an object that a key gives, valid during the call.
public typealias Object<Payload: LuaObject & ~Copyable> = UnsafeMutablePointer<Payload>

extension UnsafeMutablePointer: KeyValue where Pointee: LuaObject & ~Copyable {
    /// See ``KeyValue``.
    public static var luaType: LuaType? { .object(Pointee.self) }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool {
        if case .object(let name) = type { name == Pointee.luaName } else { false }
    }
    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> UnsafeMutablePointer<Pointee> { argument.object(Pointee.self) }
}

extension Table: KeyValue {
    /// Each key describes its table's keys.
    public static var luaType: LuaType? { nil }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool { if case .record = type { true } else { false } }
    /// See ``KeyValue``.
    @inlinable
    public static func read(_ argument: Argument) -> Table { argument.table }
}

extension Array: KeyValue where Element: KeyValue {
    /// Each key describes its list's length.
    public static var luaType: LuaType? { nil }
    /// See ``KeyValue``.
    public static func holds(_ type: LuaType) -> Bool {
        if case .list(let element, _) = type { Element.holds(element) } else { false }
    }
    /// See ``KeyValue``.
    public static func read(_ argument: Argument) -> [Element] {
        (0..<argument.count).map { Element.read(argument[$0]) }
    }
}

/// A Swift type whose values scripts write as names.
public protocol LuaChoice: KeyValue, RawRepresentable where RawValue: FixedWidthInteger {
    /// The names, in the order that help shows.
    static var choices: [(name: String, value: Self)] { get }
}

extension LuaChoice {
    /// A choice of its names.
    public static var luaType: LuaType? {
        .choice(choices.map { (name: $0.name, value: Int64(truncatingIfNeeded: $0.value.rawValue)) })
    }
    /// True for choices whose values are all of this type.
    public static func holds(_ type: LuaType) -> Bool {
        guard case .choice(let names) = type else { return false }
        return names.allSatisfy { RawValue(exactly: $0.value).flatMap(Self.init) != nil }
    }
    /// See ``KeyValue``.
    public static func read(_ argument: Argument) -> Self {
        guard let value = Self(rawValue: RawValue(truncatingIfNeeded: argument.int64)) else {
            preconditionFailure("C decodes no value that has no name")
        }
        return value
    }
    /// See ``KeyValue``.
    public var decoded: Int64? { Int64(truncatingIfNeeded: rawValue) }
}
