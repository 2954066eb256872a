public import FoundationEssentials
public import LuaKit

/// A plain value of Lua's on its way to another process. Bytes are base64 there; as a list of numbers they would take seconds.
/// JSON has no infinite number and no NaN: it is not encoded with one.
public enum SentValue: Codable {
    /// nil
    case none
    /// true or false
    case boolean(Bool)
    /// A 64-bit integer.
    case integer(Int64)
    /// A float.
    case number(Double)
    /// Text.
    case string(String)
    /// Bytes.
    case bytes(Data)
    /// A sequence.
    case list([SentValue])
    /// A table with names for keys.
    case table([String: SentValue])
    /// What is no plain value, by its type's name.
    case other(String)

    /// As it is, on its way.
    public init(_ value: LuaValue) {
        switch value {
        case .none: self = .none
        case .boolean(let flag): self = .boolean(flag)
        case .integer(let number): self = .integer(number)
        case .number(let number): self = .number(number)
        case .string(let text): self = .string(text)
        case .bytes(let bytes): self = .bytes(Data(bytes))
        case .list(let values): self = .list(values.map(SentValue.init))
        case .table(let fields): self = .table(fields.mapValues(SentValue.init))
        case .other(let type): self = .other(type)
        }
    }

    /// As it was.
    public var value: LuaValue {
        switch self {
        case .none: .none
        case .boolean(let flag): .boolean(flag)
        case .integer(let number): .integer(number)
        case .number(let number): .number(number)
        case .string(let text): .string(text)
        case .bytes(let bytes): .bytes([UInt8](bytes))
        case .list(let values): .list(values.map(\.value))
        case .table(let fields): .table(fields.mapValues(\.value))
        case .other(let type): .other(type)
        }
    }
}
