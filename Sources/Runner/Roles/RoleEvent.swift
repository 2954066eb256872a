import FoundationEssentials
import LuaKit
import Synchronization

/// An event of a role that the other roles must know, in any process.
enum RoleEvent: Codable {
    /// First on a connection: the role that wants to join, and its scenario.
    case hello(
        role: String, scenario: String, digest: UInt64, version: Int, settings: [String: String]?, selection: [String]?)
    /// All roles have joined; with the settings of the first one, and the cases that it selects.
    case welcome(settings: [String: String]?, selection: [String]?)
    /// The role cannot join, or is excluded.
    case refused(reason: String)
    case arrive(role: String, index: Int)
    case post(value: SentValue, from: String, to: String, index: Int)
    case end(role: String, result: CaseResult, index: Int)
    case leave(role: String, reason: String)

    /// Version of the protocol; both sides must have the same.
    static let version = 2

    /// Most bytes that a role may send to others in one case.
    static let mostWeight = 16 << 20
    /// Most bytes of a case's result that a role sends to others.
    static let mostResult = 4 << 20

    /// Why a peer that may speak for `speakers` only may not send this event; nil where it may. `roles` and `cases` are
    /// the scenario's.
    func refusal(of speakers: [String], in roles: [String], cases: Int) -> String? {
        let (role, peer, index): (String, String?, Int)
        switch self {
        case .hello, .welcome, .refused: return "it began the meeting again"
        case .arrive(let name, let number): (role, peer, index) = (name, nil, number)
        case .post(_, let name, let other, let number): (role, peer, index) = (name, other, number)
        case .end(let name, let result, let number):
            (role, peer, index) = (name, nil, number)
            if let reason = result.refusal { return reason }
        case .leave(let name, _): (role, peer, index) = (name, nil, 0)
        }
        guard roles.contains(role), peer.map({ roles.contains($0) && $0 != role }) ?? true else {
            return "it spoke of a role that the scenario does not have"
        }
        guard speakers.contains(role) else { return "it spoke for role '\(role)'" }
        return (0..<cases).contains(index) ? nil : "it spoke of a case that the scenario does not have"
    }
}

extension RoleEvent {
    /// Strings for numbers that JSON lacks; roles may send such values.
    private static let infinity = "inf", minusInfinity = "-inf", notANumber = "nan"

    /// The event encoded for another process; nil where it cannot be.
    var json: Data? {
        let encoder = JSONEncoder()
        // base64 contains slashes.
        encoder.outputFormatting = .withoutEscapingSlashes
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: RoleEvent.infinity, negativeInfinity: RoleEvent.minusInfinity, nan: RoleEvent.notANumber)
        return try? encoder.encode(self)
    }

    /// Decodes an event of another process; nil where it is malformed.
    init?(json: ArraySlice<UInt8>) {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: RoleEvent.infinity, negativeInfinity: RoleEvent.minusInfinity, nan: RoleEvent.notANumber)
        guard RoleEvent.parts(of: json) <= RoleEvent.mostParts else { return nil }
        // One at a time: a decoder needs more memory than its result.
        let event = RoleEvent.decoding.withLock { _ in try? decoder.decode(RoleEvent.self, from: Data(json)) }
        guard let event else { return nil }
        self = event
    }

    private static let decoding = Mutex(())

    /// More than an event of ``mostWeight`` has: each value weighs at least 48 and has at most four of these signs.
    private static let mostParts = mostWeight / 12

    /// Number of separators. Counted before decoding, as a decoder takes some hundred bytes even for an empty list.
    private static func parts(of json: ArraySlice<UInt8>) -> Int {
        var count = 0, isText = false, isEscaped = false
        for byte in json {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isText = true
            case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"): count += 1
            default: break
            }
        }
        return count
    }
}
