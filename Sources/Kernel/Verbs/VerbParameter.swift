/// A parameter of a verb: its name in C, how traces write it, and how it is read back from a trace. A structure, or a
/// buffer with its length, is one parameter here and several in a trace.
public struct VerbParameter<Value>: Sendable {
    /// Its columns in a trace, in order.
    let columns: [Signature.Parameter]
    /// Members of structures within it.
    let members: [Signature.Member]
    /// The values of the columns; `isAnswered` once the call has succeeded.
    let encode: @Sendable (_ value: Value, _ isAnswered: Bool) -> [Operation.Value]
    private let decode: @Sendable (RecordedArguments) -> Value?
    /// The address of the object, where the parameter is one.
    let object: (@Sendable (Value) -> UnsafeMutableRawPointer)?

    private init(
        _ columns: [Signature.Parameter], members: [Signature.Member] = [],
        object: (@Sendable (Value) -> UnsafeMutableRawPointer)? = nil,
        encode: @escaping @Sendable (Value, Bool) -> [Operation.Value],
        decode: @escaping @Sendable (RecordedArguments) -> Value?
    ) {
        self.columns = columns
        self.members = members
        self.object = object
        self.encode = encode
        self.decode = decode
    }

    /// An object that the record names is missing, and nothing can replace it.
    struct Missing: Error {}

    func decoded(_ values: RecordedArguments) throws(Missing) -> Value {
        guard let value = decode(values) else { throw Missing() }
        return value
    }

    // MARK: Objects

    /// An object; required.
    static func object<Object>(_ kind: ObjectKind) -> VerbParameter where Value == UnsafeMutablePointer<Object> {
        VerbParameter([.init(kind)], object: { .init($0) }) { object, _ in
            [.number(address(object), .handle(kind.name))]
        } decode: {
            UnsafeMutablePointer(bitPattern: UInt($0.number()))
        }
    }

    /// An object; optional.
    static func optional<Object>(_ kind: ObjectKind) -> VerbParameter where Value == UnsafeMutablePointer<Object>? {
        VerbParameter([.init(kind)]) { object, _ in
            [.number(address(object), .handle(kind.name))]
        } decode: {
            .some(UnsafeMutablePointer(bitPattern: UInt($0.number())))
        }
    }

    /// An object whose structure is opaque; required.
    static func object(_ kind: ObjectKind) -> VerbParameter where Value == UnsafeMutableRawPointer {
        VerbParameter([.init(kind)], object: { $0 }) { object, _ in
            [.number(address(object), .handle(kind.name))]
        } decode: {
            UnsafeMutableRawPointer(bitPattern: UInt($0.number()))
        }
    }

    // MARK: Numbers

    /// A number. In decimal digits it is written as unsigned.
    static func number(_ name: String, _ format: Format = .decimal) -> VerbParameter
    where Value: FixedWidthInteger & SendableMetatype {
        VerbParameter([.init(name, format, type: IntegerType(Value.self))]) { value, _ in
            [.number(bits(value, format), format)]
        } decode: {
            Value(truncatingIfNeeded: $0.number())
        }
    }

    /// A truth value, 0 or 1 in C.
    static func flag(_ name: String) -> VerbParameter where Value == Bool {
        VerbParameter([.init(name, .decimal, type: IntegerType(Int32.self))]) { value, _ in
            [.number(value ? 1 : 0, .decimal)]
        } decode: {
            $0.number() != 0
        }
    }

    // MARK: Structures and memory

    /// A structure. A trace shows these members as if they were parameters; all others are 0.
    static func structure(_ empty: @escaping @Sendable () -> Value, _ members: [VerbMember<Value>]) -> VerbParameter {
        VerbParameter(members.map { .init($0.name, $0.format, type: $0.type) }) { structure, _ in
            members.map { $0.value(in: structure) }
        } decode: { values in
            var structure = empty()
            for member in members { member.set(values.number(), &structure) }
            return structure
        }
    }

    /// A pointer to a structure that the call changes, with these members.
    static func pointed<Structure>(
        _ empty: @escaping @Sendable () -> Structure, _ members: [VerbMember<Structure>]
    ) -> VerbParameter where Value == UnsafeMutablePointer<Structure> {
        VerbParameter(members.map { .init($0.name, $0.format, type: $0.type) }) { structure, _ in
            members.map { $0.value(in: structure.pointee) }
        } decode: { values in
            let room = values.allocate(empty(), count: 1)
            for member in members { member.set(values.number(), &room[0]) }
            return room.baseAddress
        }
    }

    /// A single value of a trace, with its own conversion.
    static func value(
        _ name: String, members: [Signature.Member],
        encode: @escaping @Sendable (Value) -> Operation.Value,
        decode: @escaping @Sendable (Operation.Value, RecordedArguments) -> Value?
    ) -> VerbParameter {
        VerbParameter([.init(name)], members: members) { value, _ in
            [encode(value)]
        } decode: {
            decode($0.next(), $0)
        }
    }

    /// Input bytes, and their number.
    static func bytes() -> VerbParameter where Value == UnsafeRawBufferPointer {
        VerbParameter(copied(isOutput: false)) { bytes, _ in
            [.bytes(Array(bytes)), .number(UInt64(bytes.count), .hexadecimal)]
        } decode: { values in
            let bytes: [UInt8] = if case .bytes(let bytes) = values.next() { bytes } else { [] }
            _ = values.next()
            let buffer = values.allocate(byteCount: bytes.count)
            buffer.copyBytes(from: bytes)
            return UnsafeRawBufferPointer(buffer)
        }
    }

    /// A buffer for output bytes, and its size.
    static func room() -> VerbParameter where Value == UnsafeMutableRawBufferPointer {
        VerbParameter(copied(isOutput: true)) { room, isAnswered in
            [.bytes(isAnswered ? Array(room) : []), .number(UInt64(room.count), .hexadecimal)]
        } decode: { values in
            _ = values.next()
            return values.allocate(byteCount: Int(min(values.number(), RecordedArguments.mostBytes)))
        }
    }

    private static func copied(isOutput: Bool) -> [Signature.Parameter] {
        [.init("bytes", isOutput: isOutput), .init("length", .hexadecimal, type: IntegerType(UInt.self))]
    }
}

/// A numeric member of a C structure, and how traces write it.
struct VerbMember<Structure>: Sendable {
    let name: String
    let format: Format
    let type: IntegerType
    private let get: @Sendable (Structure) -> UInt64
    /// Of a number that its type holds, as a replay has looked: the rest of another is cut off.
    let set: @Sendable (UInt64, inout Structure) -> Void

    func value(in structure: Structure) -> Operation.Value { .number(get(structure), format) }

    /// An integer.
    init<Value: FixedWidthInteger & SendableMetatype>(
        _ name: String, _ path: any WritableKeyPath<Structure, Value> & Sendable, _ format: Format = .decimal
    ) {
        self.name = name
        self.format = format
        type = IntegerType(Value.self)
        get = { bits($0[keyPath: path], format) }
        set = { $1[keyPath: path] = Value(truncatingIfNeeded: $0) }
    }

    /// A value of a C enumeration.
    init<Value: RawRepresentable<UInt32> & SendableMetatype>(
        _ name: String, _ path: any WritableKeyPath<Structure, Value> & Sendable, _ format: Format,
        _ make: @escaping @Sendable (UInt32) -> Value
    ) {
        self.name = name
        self.format = format
        type = IntegerType(UInt32.self)
        get = { UInt64($0[keyPath: path].rawValue) }
        set = { $1[keyPath: path] = make(UInt32(truncatingIfNeeded: $0)) }
    }

    /// An object.
    init<Object>(
        _ name: String, _ path: any WritableKeyPath<Structure, UnsafeMutablePointer<Object>?> & Sendable,
        _ format: Format
    ) {
        self.name = name
        self.format = format
        type = .address
        get = { address($0[keyPath: path]) }
        set = { $1[keyPath: path] = UnsafeMutablePointer(bitPattern: UInt($0)) }
    }

    /// An address.
    init(
        _ name: String, _ path: any WritableKeyPath<Structure, UnsafeMutableRawPointer?> & Sendable, _ format: Format
    ) {
        self.name = name
        self.format = format
        type = .address
        get = { address($0[keyPath: path]) }
        set = { $1[keyPath: path] = UnsafeMutableRawPointer(bitPattern: UInt($0)) }
    }
}

/// Sign-extended to 64 bits; a negative value in decimal format keeps only its low 32 bits.
private func bits(_ value: some FixedWidthInteger, _ format: Format) -> UInt64 {
    guard case .decimal = format, value < 0 else { return UInt64(truncatingIfNeeded: value) }
    return UInt64(UInt32(truncatingIfNeeded: value))
}

/// Arguments of a recorded call with numbers in place of names, taken one after another. Owns the memory that their
/// pointers refer to.
final class RecordedArguments {
    /// Most bytes allocated for one argument.
    static let mostBytes: UInt64 = 1 << 26

    private var values: ArraySlice<Operation.Value>
    private var memory: [UnsafeMutableRawBufferPointer] = []

    init(_ values: [Operation.Value]) { self.values = values[...] }

    deinit { for buffer in memory { buffer.deallocate() } }

    func next() -> Operation.Value { values.popFirst() ?? .number(0, .decimal) }

    /// The next argument, where it is a number; else 0.
    func number() -> UInt64 { if case .number(let number, _) = next() { number } else { 0 } }

    func allocate(byteCount: Int) -> UnsafeMutableRawBufferPointer {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        _ = buffer.initializeMemory(as: UInt8.self, repeating: 0)
        memory.append(buffer)
        return buffer
    }

    /// Allocates `count` elements, at least one, each set to `value`.
    func allocate<Element>(_ value: Element, count: Int) -> UnsafeMutableBufferPointer<Element> {
        let room = allocate(byteCount: MemoryLayout<Element>.stride * max(1, count))
        return room.initializeMemory(as: Element.self, repeating: value)
    }
}
