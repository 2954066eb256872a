import Bindings
import CKernel
import LuaKit

/// Progress of a scenario's roles, as one process knows it. Roles that are threads of the process share one instance.
///
/// Roles wait on one condition. On a simulated bench they instead run one at a time and in turn, so that every run is the
/// same.
final class RoleState: @unchecked Sendable {
    /// Progress of one case, by role.
    private struct Progress {
        var barriers: [String: Int] = [:]
        var results: [String: CaseResult] = [:]
        /// Messages, by receiver and sender.
        var mail: [String: [String: [LuaValue]]] = [:]
        /// Bytes that each role has sent and that were not received yet.
        var waiting: [String: Int] = [:]
    }

    /// More than any scenario needs. A limit, because a peer that names a case makes this allocate its progress.
    static let mostCases = 100_000

    /// The roles, in the scenario's order.
    let names: [String]
    /// Number of cases.
    let cases: Int
    /// The one role of this process; nil where all are its threads.
    private let own: String?
    /// By the case's index.
    private var progress: [Int: Progress] = [:]
    private var gone: [String: String] = [:]
    /// Bytes kept from roles of other processes, and the limit.
    private var kept = 0
    private let mostKept: Int
    /// Gets events of this process's role, to send to other processes.
    var tell: ((RoleEvent) -> Void)?
    private let lock = ConditionLock()

    /// - Parameters:
    ///   - own: the one role of this process; nil where all are its threads.
    ///   - memory: the script's limit, bytes; roles of other processes may fill an eighth of it, within bounds.
    init(_ roles: [String], cases: Int, own: String? = nil, memory: UInt64 = Limits.defaultMemory) {
        names = roles
        self.cases = cases
        self.own = own
        mostKept = max(2 * RoleEvent.mostWeight, min(Int(clamping: memory / 8), 8 * RoleEvent.mostWeight))
    }

    private func locked<Value, Failure: Error>(_ body: (RoleState) throws(Failure) -> Value) throws(Failure) -> Value {
        try lock.withLock { () throws(Failure) in try body(self) }
    }

    // MARK: Events

    /// Records that the role has reached its next barrier; returns that barrier's number in the case.
    func arrive(_ role: String, at index: Int) -> Int {
        report(.arrive(role: role, index: index))
        return locked { $0.progress[index]?.barriers[role] ?? 0 }
    }

    func post(_ value: LuaValue, from role: String, to peer: String, at index: Int) throws(ErrorValue) {
        let waiting = locked { $0.progress[index]?.waiting[role] ?? 0 }
        guard waiting + value.weight <= RoleEvent.mostWeight else {
            let reason =
                own == nil
                ? "were sent and not received; receive them first"
                : "are the most that a role of another process is sent in a case"
            throw ErrorValue(
                kind: .memory,
                "case:send: not enough memory: \(RoleEvent.mostWeight >> 20) MiB \(reason)")
        }
        report(.post(value: SentValue(value), from: role, to: peer, index: index))
    }

    func end(_ role: String, _ result: CaseResult, at index: Int) {
        enter(.end(role: role, result: result, index: index))
        tell?(.end(role: role, result: result.told, index: index))
    }

    /// Ends the role: nobody waits for it any more.
    func leave(_ role: String, because reason: String) { report(.leave(role: role, reason: reason)) }

    private func report(_ event: RoleEvent) {
        enter(event)
        tell?(event)
    }

    /// Enters an event of this process's role, or another role's loss.
    func enter(_ event: RoleEvent) { _ = locked { $0.entered(event, isOwn: true) } }

    /// Enters an event of another process's role; returns why it is refused as too much, or nil.
    func take(_ event: RoleEvent) -> String? { locked { $0.entered(event, isOwn: false) } }

    private func entered(_ event: RoleEvent, isOwn: Bool) -> String? {
        defer { lock.broadcast() }
        switch event {
        case .arrive(let role, let index): progress[index, default: Progress()].barriers[role, default: 0] += 1
        case .post(let value, let role, let peer, let index):
            // A message between two roles of other processes is not kept here.
            guard isOwn || peer == own else { return nil }
            let value = value.value
            let weight = value.weight
            guard isOwn || (progress[index]?.waiting[role] ?? 0) + weight <= RoleEvent.mostWeight else {
                return "it sends more than is received"
            }
            if let reason = keep(weight, isOwn) { return reason }
            progress[index, default: Progress()].waiting[role, default: 0] += weight
            guard own == nil || peer == own else { return nil }
            progress[index]?.mail[peer, default: [:]][role, default: []].append(value)
        case .end(let role, let result, let index):
            // A role's first result of a case stays.
            guard progress[index]?.results[role] == nil else { return nil }
            if let reason = keep(result.weight, isOwn) { return reason }
            progress[index, default: Progress()].results[role] = isOwn ? result : result.ofPeer(role)
        // The first reason stays.
        case .leave(let role, let reason): if gone[role] == nil { gone[role] = reason }
        case .hello, .welcome, .refused: break
        }
        return nil
    }

    /// Counts bytes kept from other processes; returns why they are refused, or nil.
    private func keep(_ weight: Int, _ isOwn: Bool) -> String? {
        if isOwn { return nil }
        guard kept + weight <= mostKept else {
            return "what the other roles have told takes more than \(mostKept >> 20) MiB here; --memory allows more"
        }
        kept += weight
        return nil
    }

    // MARK: Queries

    /// Whether all roles have reached their `count`-th barrier of the case, nil where not yet; throws where one never
    /// will.
    func isReached(_ count: Int, at index: Int) throws(ErrorValue) -> Bool? {
        try locked { state throws(ErrorValue) -> Bool? in
            for role in names where (state.progress[index]?.barriers[role] ?? 0) < count {
                try state.checkAlive(role, index, "reaching this barrier")
                return nil
            }
            return true
        }
    }

    func take(from role: String, to peer: String, at index: Int) throws(ErrorValue) -> LuaValue? {
        try locked { state throws(ErrorValue) -> LuaValue? in
            if state.progress[index]?.mail[peer]?[role]?.isEmpty == false {
                let value = state.progress[index]?.mail[peer]?[role]?.removeFirst()
                let weight = value?.weight ?? 0
                state.progress[index]?.waiting[role]? -= weight
                if state.own != nil { state.kept -= weight }
                return value
            }
            try state.checkAlive(role, index, "sending anything more")
            return nil
        }
    }

    /// Each role's result of the case, once all have one; a role that ended before has failed.
    func results(of name: String, at index: Int) -> [String: CaseResult]? {
        locked { state in
            var results = state.progress[index]?.results ?? [:]
            for role in names where results[role] == nil {
                guard let reason = gone[role] else { return nil }
                let error = ErrorValue(kind: .peer, "role '\(role)' is gone: \(reason)")
                var result = CaseResult(name: name, verdict: .fail, duration_ns: 0)
                result.message = error.message
                result.error = ErrorFields(error)
                results[role] = result
            }
            // Messages that were not received before the end of their case are dropped.
            let left = own.flatMap { state.progress[index]?.mail[$0] } ?? [:]
            state.kept -= left.values.joined().reduce(0) { $0 + $1.weight }
            state.progress[index]?.mail = [:]
            state.progress[index]?.waiting = [:]
            return results
        }
    }

    private func checkAlive(_ role: String, _ index: Int, _ what: String) throws(ErrorValue) {
        if let reason = gone[role] { throw ErrorValue(kind: .peer, "role '\(role)' is gone: \(reason)") }
        guard let result = progress[index]?.results[role] else { return }
        let reason = result.message.map { ": \($0)" } ?? ""
        throw ErrorValue(kind: .peer, "role '\(role)' ended the case without \(what)\(reason)")
    }

    /// Sleeps until an event comes, at most 50 ms.
    func pause() { _ = locked { _ in lock.wait(until: sys_monotonic() &+ 50_000_000) } }
}
