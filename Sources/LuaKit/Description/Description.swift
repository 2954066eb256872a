public import CLuaShims

/// The type of an argument. C checks arguments by it; help and editor stubs show it.
public indirect enum LuaType: Sendable {
    /// An integer within a range.
    case integer(ClosedRange<Int64>)
    /// Bytes: an integer, or text such as "64K", within a range.
    case size(ClosedRange<Int64>)
    /// Milliseconds: an integer, or text such as "30s", within a range.
    case time(ClosedRange<Int64>)
    /// A float or integer.
    case number
    /// true or false.
    case boolean
    /// A string of any bytes, its length within a range.
    case string(ClosedRange<Int>)
    /// One of several names; the argument's integer is the name's value.
    case choice([(name: String, value: Int64)])
    /// A list of names; the argument's integer is the OR of their values.
    case flags([(name: String, value: Int64)])
    /// An open object of the class with that name.
    case object(String)
    /// A table with these keys and no others.
    case record([any TableKey])
    /// A sequence, its length within a range.
    case list(LuaType, ClosedRange<Int64>)
    /// Anything; the function looks at the stack itself.
    case any

    /// A string of at most 4 GiB.
    public static var string: LuaType { .string(0...0xffff_ffff) }
    /// An unsigned 64-bit number in Lua's signed integers.
    public static var uint64: LuaType { .integer(Int64.min...Int64.max) }
    /// An unsigned 32-bit number.
    public static var uint32: LuaType { .integer(0...0xffff_ffff) }

    /// An object whose payload is `Payload`.
    public static func object<Payload: LuaObject & ~Copyable>(_ type: Payload.Type) -> LuaType {
        .object(Payload.luaName)
    }
}

/// One argument of a function, or one key of a table argument.
public struct Parameter: Sendable {
    /// What an absent argument means.
    public enum Fallback: Sendable {
        /// It must be given.
        case required
        /// The function sees that it is absent.
        case absent
        /// This number, also for sizes, booleans (0, 1), choices and flags.
        case integer(Int64)
    }

    /// The name in error messages, and the key in a table.
    public let name: String
    /// Its type.
    public let type: LuaType
    /// The meaning of its absence.
    public let fallback: Fallback
    /// One sentence for help and stubs.
    public let doc: String
    /// The key's name before version 0.2, where renamed; scripts that still use that get an error with the new name.
    public internal(set) var was: String?

    /// A parameter; required unless a fallback is given.
    public init(_ name: String, _ type: LuaType, _ fallback: Fallback = .required, _ doc: String) {
        self.name = name
        self.type = type
        self.fallback = fallback
        self.doc = doc
    }

    /// Checks that the keys of a table argument are distinct and, where the table may be left out, that every key may
    /// be.
    func check(in function: String) {
        guard case .record(let keys) = type else { return }
        let names = keys.map(\.name) + keys.compactMap(\.parameter.was)
        precondition(Set(names).count == names.count, "\(function): '\(name)' has a key twice")
        for key in keys {
            if case .required = fallback {
            } else if case .required = key.parameter.fallback {
                preconditionFailure("\(function): '\(name)' may be left out, so its key '\(key.name)' needs a default")
            }
            key.parameter.check(in: function)
        }
    }
}

/// What a function changes outside the script. Scenarios declare effects, permissions grant them, `peerlab help` lists
/// them.
public enum Effect: String, Sendable, CaseIterable, Comparable {
    /// Opens a device, which enables and on first open resets it.
    case open
    /// Writes a device's region, or maps it so that it can be written.
    case regionWrite = "region_write"
    /// Writes a device's configuration space.
    case configWrite = "config_write"
    /// Resets a device.
    case reset
    /// Gives a device access to memory.
    case dma
    /// Sends a request that the script composed, which may do anything that the open descriptors allow.
    case raw

    /// In the order of this list.
    public static func < (one: Effect, other: Effect) -> Bool { one.bit < other.bit }

    var bit: UInt32 { 1 << UInt32(Effect.allCases.firstIndex(of: self) ?? 0) }
}

/// Effects that replace the function's others where an argument has a certain value.
public struct SelectedEffects: Sendable {
    /// The argument's name.
    public let parameter: String
    /// Its value.
    public let value: Int64
    /// The effects.
    public let effects: [Effect]

    /// `effects` where `parameter` is `value`.
    public init(where parameter: String, is value: Int64, _ effects: [Effect]) {
        self.parameter = parameter
        self.value = value
        self.effects = effects
    }
}

/// One function that scripts can call: the only description of it.
public struct Function: Sendable {
    /// The name in its module or class.
    public let name: String
    /// Arguments after the receiver; at most 7.
    public let parameters: [Parameter]
    /// The types of its results.
    public let returns: [ResultType]
    /// What it changes outside the script.
    public let effects: [Effect]
    /// Effects that replace `effects` for one value of an argument.
    public let selectedEffects: SelectedEffects?
    /// Names of important errnos, each with its reason.
    public let errors: [(name: String, reason: String)]
    /// What it does.
    public let doc: String
    /// A method's name before version 0.2, where renamed; scripts that still use that get an error with the new name.
    public private(set) var was: String?
    let entry: lk_entry

    /// The same method, with its name before version 0.2.
    public func was(_ name: String) -> Function {
        var function = self
        function.was = name
        return function
    }

    /// Describes a function. `entry` is called with the checked arguments, the receiver first. An inconsistent
    /// description is a programming error, which ends the process.
    public init(
        _ name: String, _ parameters: [Parameter] = [], returns: [ResultType] = [], effects: [Effect] = [],
        selectedEffects: SelectedEffects? = nil, errors: [(name: String, reason: String)] = [], _ doc: String,
        entry: @escaping lk_entry
    ) {
        // The tests make every description; a release would compare all names again at each start.
        #if DEBUG
            for parameter in parameters { parameter.check(in: name) }
        #endif
        self.name = name
        self.parameters = parameters
        self.returns = returns
        self.effects = effects
        self.selectedEffects = selectedEffects
        self.errors = errors
        self.doc = doc
        self.entry = entry
    }
}

/// A type that userdata can hold.
public protocol LuaObject: ~Copyable {
    /// The class's name in messages: "vfio device".
    static var luaName: String { get }
    /// False once it is closed. Where `close` failed and can be tried again, it is still true.
    var isOpen: Bool { get }
    /// Closes it. Where it stays open, the collector calls this once more.
    mutating func close() throws
}

/// A class of objects that scripts hold.
public struct ObjectClass: Sendable {
    /// ``LuaObject/luaName``.
    public let name: String
    /// The LuaLS type: "vfio.device".
    public let type: String
    /// The short name in messages: "device".
    public let short: String
    /// What it is.
    public let doc: String
    /// Its methods, beside close, <close> and tostring, which every class has.
    public let methods: [Function]
    let close: @convention(c) (OpaquePointer, UnsafeMutableRawPointer, Bool) -> lk_closing
    let destroy: @convention(c) (UnsafeMutableRawPointer) -> Void

    /// Describes a class. `close` and `destroy` are `{ closeObject($0, $1, $2, Payload.self) }` and `{
    /// destroyObject($0, Payload.self) }`, written out for each class because C cannot call a generic function.
    /// `{ destroyObject($0, Payload.self) }`: C can call no generic function.
    public init(
        _ name: String, type: String, short: String, _ doc: String, methods: [Function],
        close: @escaping @convention(c) (OpaquePointer, UnsafeMutableRawPointer, Bool) -> lk_closing,
        destroy: @escaping @convention(c) (UnsafeMutableRawPointer) -> Void
    ) {
        self.name = name
        self.type = type
        self.short = short
        self.doc = doc
        self.methods = methods
        self.close = close
        self.destroy = destroy
    }
}

/// A module that scripts `require`.
public struct Module: Sendable {
    /// The name to require.
    public let name: String
    /// What it is for.
    public let doc: String
    /// Its functions, described anew at each access.
    public var functions: [Function] { makeFunctions() }
    /// Its constants.
    public let constants: [(name: String, value: Int64, doc: String)]
    /// The classes whose objects its functions return; described anew at each access, too.
    public var classes: [ObjectClass] { makeClasses() }

    private let makeFunctions: @Sendable () -> [Function]
    private let makeClasses: @Sendable () -> [ObjectClass]

    /// Describes a module. Its functions and classes are evaluated when a script requires it, as most scripts use few
    /// modules.
    public init(
        _ name: String, _ doc: String, functions: @autoclosure @escaping @Sendable () -> [Function],
        constants: [(name: String, value: Int64, doc: String)] = [],
        classes: @autoclosure @escaping @Sendable () -> [ObjectClass] = []
    ) {
        self.name = name
        self.doc = doc
        makeFunctions = functions
        self.constants = constants
        makeClasses = classes
    }
}
