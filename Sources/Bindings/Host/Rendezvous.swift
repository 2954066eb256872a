public import LuaKit

/// Connects the roles of a scenario: their names, barriers, and messages of plain values. Each role has its own
/// instance.
public protocol Rendezvous: AnyObject {
    /// This role's name.
    var role: String { get }
    /// The other roles' names, in the scenario's order.
    var peers: [String] { get }
    /// Waits until every role has called it; throws an error of kind "peer" where one has failed or ended the case, or
    /// after `timeout` nanoseconds.
    func barrier(timeout: UInt64) throws(ErrorValue)
    /// Sends a value to another role, without waiting.
    func send(_ value: LuaValue, to role: String) throws(ErrorValue)
    /// The next value from another role; errors as ``barrier(timeout:)``.
    func receive(from role: String, timeout: UInt64) throws(ErrorValue) -> LuaValue
}

private let caseParameter = Parameter("case", .any, .required, "the case")
private let timeoutParameter = Parameter(
    "timeout_ms", .time(1...3_600_000), .integer(30_000), "after which the others are lost")

extension Call {
    fileprivate func rendezvous() throws -> any Rendezvous {
        guard let rendezvous = host.rendezvous else {
            throw ErrorValue(
                kind: .script, "this scenario has no roles; declare them: roles = { \"target\", \"initiator\" }")
        }
        return rendezvous
    }

    /// An argument as a value that can be sent: plain, including everything inside tables.
    fileprivate func plainValue(of argument: Argument) throws -> LuaValue {
        let value = deepValue(of: argument)
        if let wrong = value.notPlain {
            throw ErrorValue(kind: .argument, "a \(wrong) cannot be sent to another role")
        }
        return value
    }
}

extension LuaValue {
    /// The part of a value that cannot leave its Lua state; nil where there is none.
    fileprivate var notPlain: String? {
        switch self {
        case .other(let type): type
        case .list(let values): values.lazy.compactMap(\.notPlain).first
        case .table(let fields): fields.values.lazy.compactMap(\.notPlain).first
        default: nil
        }
    }
}

/// Functions of a case with which roles work together.
let roleFunctions = [
    Function(
        "role", [caseParameter], returns: [.string], "This role's name.",
        entry: { Call($0, $1).run { call in call.push(try call.rendezvous().role) } }),
    Function(
        "peers", [caseParameter], returns: [.list(.string)], "The other roles' names.",
        entry: {
            Call($0, $1).run { call in call.push(value: try call.rendezvous().peers) }
        }),
    Function(
        "barrier", [caseParameter, timeoutParameter], "Waits until every role is here.",
        entry: {
            Call($0, $1).run { call in
                try call.rendezvous().barrier(timeout: call[1].uint64 * 1_000_000)
                return call.nothing
            }
        }),
    Function(
        "send",
        [
            caseParameter, Parameter("value", .any, .required, "a plain value: tables, strings, numbers, booleans"),
            Parameter("role", .string(1...64), .absent, "default: every other"),
        ],
        "Hands a value to another role. Does not wait.",
        entry: {
            Call($0, $1).run { call in
                let rendezvous = try call.rendezvous()
                let value = try call.plainValue(of: call[1])
                for peer in call[2].isPresent ? [call[2].string] : rendezvous.peers {
                    try rendezvous.send(value, to: peer)
                }
                return call.nothing
            }
        }),
    Function(
        "receive",
        [
            caseParameter, Parameter("role", .string(1...64), .absent, "default: the other one"),
            timeoutParameter,
        ],
        returns: [.any], "The next value that another role sent, in the order of its sending.",
        entry: {
            Call($0, $1).run { call in
                let rendezvous = try call.rendezvous()
                let from = call[1].isPresent ? call[1].string : try only(rendezvous.peers)
                return call.push(try rendezvous.receive(from: from, timeout: call[2].uint64 * 1_000_000))
            }
        }),
    Function(
        "exchange", [caseParameter, Parameter("value", .any, .required, "a plain value"), timeoutParameter],
        returns: [.any], "Sends a value to the other role and returns what that one sent; of two roles.",
        entry: {
            Call($0, $1).run { call in
                let rendezvous = try call.rendezvous()
                let peer = try only(rendezvous.peers)
                try rendezvous.send(try call.plainValue(of: call[1]), to: peer)
                return call.push(try rendezvous.receive(from: peer, timeout: call[2].uint64 * 1_000_000))
            }
        }),
]

private func only(_ peers: [String]) throws -> String {
    guard peers.count == 1, let peer = peers.first else {
        throw ErrorValue(kind: .argument, "name one of the roles: \(peers.joined(separator: ", "))")
    }
    return peer
}
