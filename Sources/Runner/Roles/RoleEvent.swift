import FoundationEssentials
import LuaKit
import Synchronization

/// What a role did that the others must know, wherever they run.
enum RoleEvent: Codable {
    /// First of a connection: who wants to take part, and in which scenario.
    case hello(role: String, scenario: String, digest: UInt64, version: Int, settings: [String: String]?)
    /// Every role is here; with what the first one was set.
    case welcome(settings: [String: String]?)
    /// The one that wanted to take part cannot, or can no more.
    case refused(reason: String)
    case arrive(role: String, index: Int)
    case post(value: SentValue, from: String, to: String, index: Int)
    case end(role: String, result: CaseResult, index: Int)
    case leave(role: String, reason: String)

    /// Both sides must speak the same.
    static let version = 2

    /// The most that a role may send the others in one case, bytes.
    static let mostWeight = 16 << 20
    /// The most that a role tells the others of how a case ended, bytes.
    static let mostResult = 4 << 20

    /// Why one who may speak for `speakers` alone may not say so; nil where it may. The roles are the scenario's, and so is
    /// the number of cases.
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
    /// JSON has no infinite number and no NaN, and values that roles send may be such.
    private static let infinity = "inf", minusInfinity = "-inf", notANumber = "nan"

    /// As it goes to another process; nil where it cannot.
    var json: Data? {
        let encoder = JSONEncoder()
        // base64 has slashes.
        encoder.outputFormatting = .withoutEscapingSlashes
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: RoleEvent.infinity, negativeInfinity: RoleEvent.minusInfinity, nan: RoleEvent.notANumber)
        return try? encoder.encode(self)
    }

    /// What another process sent; nil where it is no event.
    init?(json: ArraySlice<UInt8>) {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: RoleEvent.infinity, negativeInfinity: RoleEvent.minusInfinity, nan: RoleEvent.notANumber)
        guard RoleEvent.parts(of: json) <= RoleEvent.mostParts else { return nil }
        // One at a time: what a decoder needs is more than what comes of it.
        let event = RoleEvent.decoding.withLock { _ in try? decoder.decode(RoleEvent.self, from: Data(json)) }
        guard let event else { return nil }
        self = event
    }

    private static let decoding = Mutex(())

    /// More values than an event of ``mostWeight`` has: each weighs at least 48, and has at most four of these signs.
    private static let mostParts = mostWeight / 12

    /// Signs between values. A decoder takes some hundred bytes for each value, were it an empty list.
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
