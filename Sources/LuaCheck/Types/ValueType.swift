import LuaKit
import Runner

/// What the checker knows of a value.
indirect enum ValueType {
    case unknown
    case `nil`, boolean
    /// An integer, and which one where that is known.
    case integer(Int64?)
    /// A float or integer, and which one where that is known.
    case number(Double?)
    /// A string, and which one where that is known and UTF-8.
    case string(String?)
    /// An object of a class, by its name.
    case object(String)
    /// A table that a described function returned.
    case record(any ResultRecordDescription)
    case list(ValueType)
    case map(ValueType)
    /// A module of the host's; the running case is one too.
    case module(Module)
    /// A table of a Lua file, of which the checker knows the fields.
    case table(TableShape)
    /// A table of a class that a shipped module's annotations describe.
    case instance(AnnotatedClass)
    /// The values of a scenario's options.
    case options(OptionTypes)
    case function(FunctionType)

    /// A described function's result.
    init(_ type: ResultType) {
        switch type {
        case .integer: self = .integer(nil)
        case .number: self = .number(nil)
        case .boolean: self = .boolean
        case .string: self = .string(nil)
        case .object(let name): self = .object(name)
        case .record(let record): self = .record(record)
        case .list(let element): self = .list(ValueType(element))
        case .map(let element): self = .map(ValueType(element))
        // Whether it is nil shows only when the program runs.
        case .optional(let type): self = ValueType(type)
        case .any: self = .unknown
        }
    }

    /// The kind of value, as Lua's errors name it; nil where it is not known.
    var typeName: String? {
        switch self {
        case .unknown: nil
        case .nil: "nil"
        case .boolean: "boolean"
        case .integer, .number: "number"
        case .string: "string"
        case .object(let name): name
        case .record, .list, .map, .module, .table, .instance, .options: "table"
        case .function: "function"
        }
    }

    /// What a value is that has one of two types.
    func joined(_ other: ValueType) -> ValueType {
        switch (self, other) {
        case (.nil, .nil): .nil
        case (.boolean, .boolean): .boolean
        case (.integer(let one), .integer(let two)): .integer(one == two ? one : nil)
        case (.number(let one), .number(let two)): .number(one == two ? one : nil)
        case (.integer, .number), (.number, .integer): .number(nil)
        case (.string(let one), .string(let two)): .string(one == two ? one : nil)
        case (.object(let one), .object(let two)) where one == two: self
        case (.record(let one), .record(let two)) where one.name == two.name: self
        case (.module(let one), .module(let two)) where one.name == two.name: self
        case (.table(let one), .table(let two)) where one === two: self
        case (.instance(let one), .instance(let two)) where one === two: self
        case (.options(let one), .options(let two)) where one === two: self
        case (.list(let one), .list(let two)): .list(one.joined(two))
        case (.map(let one), .map(let two)): .map(one.joined(two))
        case (.function(let one), .function(let two)) where one.isSame(as: two): self
        default: .unknown
        }
    }
}

/// A function that can be called.
enum FunctionType {
    /// A described function of a module or, where `receiver` is a class, a method.
    case described(Function, owner: String, receiver: String?)
    /// A function of a file.
    case own(FunctionBody)
    /// A function of another file.
    case foreign(Signature)
    /// A function of Lua's library.
    case library(String)

    /// Whether both are one function.
    func isSame(as other: FunctionType) -> Bool {
        switch (self, other) {
        case (.described(let one, let owner, let receiver), .described(let two, let otherOwner, let otherReceiver)):
            one.name == two.name && owner == otherOwner && receiver == otherReceiver
        case (.own(let one), .own(let two)): one === two
        case (.foreign(let one), .foreign(let two)): one.name == two.name
        case (.library(let one), .library(let two)): one == two
        default: false
        }
    }
}

/// Fields of a table of a Lua file.
final class TableShape {
    /// "module expect", or what it is.
    let name: String
    var fields: [String: ValueType] = [:]
    /// Whether `fields` are all that there are.
    var isWhole: Bool {
        get { isComplete && !isLost }
        set { isComplete = newValue }
    }
    private var isComplete = true
    /// Whether reading a field that it does not have is an error.
    var isSealed = false
    /// Whether something has it that may change it unseen. What only an early round did not see is forgotten.
    var isLost: Bool { isLostNow || wasLost }
    private var isLostNow = false
    private var wasLost = false
    /// Whether elements are added to it by their place in a list, or by a key that is not known.
    var hasMoreElements = false
    /// Whether a function of the file gets it: what that does to it may be seen late, or not at all.
    var isShared = false
    /// Whether the file returns it, so that others may add fields.
    var isReturned = false
    /// What is assigned to its fields, by place.
    var stores: [Place: Store] = [:]

    /// An assignment to a field.
    struct Store {
        let name: String
        let value: Expression
        /// The block that it is in.
        let block: Int
    }

    init(_ name: String) { self.name = name }

    /// Notes that something gets it which may change it, and the tables in it, unseen.
    func lose() {
        guard !isLostNow else { return }
        isLostNow = true
        for type in fields.values { type.lose() }
    }

    /// Begins another round.
    func beginRound() { (wasLost, isLostNow) = (isLostNow, false) }
}

extension ValueType {
    /// Notes that something gets the value, where it is a table, which may change it unseen.
    func lose() { if case .table(let shape) = self { shape.lose() } }
}

/// The options that a scenario declares.
final class OptionTypes {
    var schemas: [String: ValueType]

    init(_ schemas: [String: ValueType]) { self.schemas = schemas }
}

extension ValueType {
    /// The value of a scenario's option.
    init(_ kind: OptionSchema.Kind) {
        switch kind {
        case .integer, .size: self = .integer(nil)
        case .sizes: self = .list(.integer(nil))
        case .number: self = .number(nil)
        case .boolean: self = .boolean
        case .string, .choice, .pci, .rdma: self = .string(nil)
        }
    }
}
