import FoundationEssentials
import LuaKit

/// What a role did that the others must know, wherever they run.
enum RoleEvent: Codable {
    /// First of a connection: who wants to take part, and in which scenario.
    case hello(role: String, scenario: String, digest: UInt64, version: Int)
    /// Every role is here.
    case welcome
    /// The one that wanted to take part cannot.
    case refused(reason: String)
    case arrive(role: String, index: Int)
    case post(value: SentValue, from: String, to: String, index: Int)
    case end(role: String, result: CaseResult, index: Int)
    case leave(role: String, reason: String)

    /// Both sides must speak the same.
    static let version = 1
}

/// A plain value on its way. Bytes are base64 there; as a list of numbers they would take seconds.
enum SentValue: Codable {
    case none
    case boolean(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case bytes(Data)
    case list([SentValue])
    case table([String: SentValue])

    init(_ value: LuaValue) {
        switch value {
        case .none, .other: self = .none
        case .boolean(let flag): self = .boolean(flag)
        case .integer(let number): self = .integer(number)
        case .number(let number): self = .number(number)
        case .string(let text): self = .string(text)
        case .bytes(let bytes): self = .bytes(Data(bytes))
        case .list(let values): self = .list(values.map(SentValue.init))
        case .table(let fields): self = .table(fields.mapValues(SentValue.init))
        }
    }

    var value: LuaValue {
        switch self {
        case .none: .none
        case .boolean(let flag): .boolean(flag)
        case .integer(let number): .integer(number)
        case .number(let number): .number(number)
        case .string(let text): .string(text)
        case .bytes(let bytes): .bytes([UInt8](bytes))
        case .list(let values): .list(values.map(\.value))
        case .table(let fields): .table(fields.mapValues(\.value))
        }
    }
}
