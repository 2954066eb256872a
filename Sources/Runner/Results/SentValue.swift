public import FoundationEssentials
public import LuaKit

/// A plain Lua value, encoded for another process. Bytes become base64; as a list of numbers they would take seconds.
/// Infinities and NaN are not encodable: JSON has no such numbers.
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
    /// A table whose keys are names.
    case table([String: SentValue])
    /// A value that is not plain, by its type's name.
    case other(String)

    /// From a Lua value.
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

    /// As a Lua value.
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
