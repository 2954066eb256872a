import Bindings
import Glibc
import LuaKit

/// What the roles of one scenario did, as one process knows it; those that are its threads share it.
///
/// Each waits on one condition; on a simulated bench it lets the others run instead, one at a time and in turn, so that a
/// run is the same every time.
final class RoleTable: @unchecked Sendable {
    /// A case as far as the roles have come with it, by role.
    private struct Progress {
        var barriers: [String: Int] = [:]
        var results: [String: CaseResult] = [:]
        var mail: [String: [LuaValue]] = [:]
    }

    let roles: [String]
    private var progress: [Progress] = []
    private var gone: [String: String] = [:]
    /// What was sent and not received, bytes; roles of other processes send too.
    private var waiting = 0
    /// The most of it. A sender that is never heard would fill the memory.
    private static let mostWaiting = 16 << 20
    /// Takes what this process's role does, for roles of other processes.
    var tell: ((RoleEvent) -> Void)?
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init(_ roles: [String]) {
        self.roles = roles
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        condition.deallocate()
    }

    private func locked<Value>(_ body: (RoleTable) throws -> Value) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(self)
    }

    /// False for what is no case's number: events may come from another machine.
    @discardableResult
    private func reach(_ index: Int) -> Bool {
        guard (0..<100_000).contains(index) else { return false }
        while progress.count <= index { progress.append(Progress()) }
        return true
    }

    // MARK: What roles tell

    /// Which barrier of the case it is for the role.
    func arrive(_ role: String, at index: Int) -> Int {
        report(.arrive(role: role, index: index))
        return locked { $0.progress[index].barriers[role] ?? 0 }
    }

    func post(_ value: LuaValue, from role: String, to peer: String, at index: Int) throws(ErrorValue) {
        guard locked({ $0.waiting + value.weight <= RoleTable.mostWaiting }) else {
            throw ErrorValue(
                kind: "memory",
                "case:send: not enough memory: \(RoleTable.mostWaiting >> 20) MiB were sent and not received; receive them first"
            )
        }
        report(.post(value: SentValue(value), from: role, to: peer, index: index))
    }

    func end(_ role: String, _ result: CaseResult, at index: Int) {
        report(.end(role: role, result: result, index: index))
    }

    /// The role runs no more: nobody waits for it.
    func leave(_ role: String, because reason: String) { report(.leave(role: role, reason: reason)) }

    private func report(_ event: RoleEvent) {
        apply(event)
        tell?(event)
    }

    /// Enters what a role did.
    func apply(_ event: RoleEvent) {
        locked { table in
            switch event {
            case .arrive(let role, let index):
                guard table.reach(index) else { return }
                table.progress[index].barriers[role, default: 0] += 1
            case .post(let value, let role, let peer, let index):
                guard table.reach(index) else { return }
                let weight = value.value.weight
                guard table.waiting + weight <= RoleTable.mostWaiting else {
                    if table.gone[role] == nil { table.gone[role] = "it sends more than is received" }
                    break
                }
                table.waiting += weight
                table.progress[index].mail["\(role)>\(peer)", default: []].append(value.value)
            case .end(let role, let result, let index):
                guard table.reach(index) else { return }
                table.progress[index].results[role] = result
            // The first reason is the reason.
            case .leave(let role, let reason): if table.gone[role] == nil { table.gone[role] = reason }
            case .hello, .welcome, .refused: break
            }
            pthread_cond_broadcast(condition)
        }
    }

    // MARK: What roles ask

    /// Whether all have come to their `count`-th barrier of the case; an error where one never will.
    func isReached(_ count: Int, at index: Int) throws(ErrorValue) -> Bool? {
        try ask { table throws(ErrorValue) in
            for role in roles where (table.progress[index].barriers[role] ?? 0) < count {
                try table.checkAlive(role, index, "reaching this barrier")
                return nil
            }
            return true
        }
    }

    func take(from role: String, to peer: String, at index: Int) throws(ErrorValue) -> LuaValue? {
        try ask { table throws(ErrorValue) in
            table.reach(index)
            let name = "\(role)>\(peer)"
            if let list = table.progress[index].mail[name], !list.isEmpty {
                let value = table.progress[index].mail[name]?.removeFirst()
                table.waiting -= value?.weight ?? 0
                return value
            }
            try table.checkAlive(role, index, "sending anything more")
            return nil
        }
    }

    /// How the case ended for each role, once it has for all; a role that is gone before its end has failed it.
    func results(of name: String, at index: Int) -> [String: CaseResult]? {
        locked { table in
            table.reach(index)
            var results = table.progress[index].results
            for role in roles where results[role] == nil {
                guard let reason = gone[role] else { return nil }
                let error = ErrorValue(kind: "peer", "role '\(role)' is gone: \(reason)")
                var result = CaseResult(name: name, verdict: .fail, duration_ns: 0)
                result.message = error.message
                result.error = ErrorFields(error)
                results[role] = result
            }
            return results
        }
    }

    private func ask<Value>(_ body: (RoleTable) throws(ErrorValue) -> Value?) throws(ErrorValue) -> Value? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(self)
    }

    private func checkAlive(_ role: String, _ index: Int, _ what: String) throws(ErrorValue) {
        if let reason = gone[role] { throw ErrorValue(kind: "peer", "role '\(role)' is gone: \(reason)") }
        guard let result = progress[index].results[role] else { return }
        let reason = result.message.map { ": \($0)" } ?? ""
        throw ErrorValue(kind: "peer", "role '\(role)' ended the case without \(what)\(reason)")
    }

    /// Nanoseconds of the machine's clock that only goes forward.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Sleeps until something may have changed, at most 50 ms.
    func pause() {
        locked { _ in
            var time = timespec(in: 50_000_000)
            pthread_cond_timedwait(condition, mutex, &time)
        }
    }
}

extension LuaValue {
    /// About how many bytes it takes.
    fileprivate var weight: Int {
        switch self {
        case .string(let text): 48 + text.utf8.count
        case .bytes(let bytes): 48 + bytes.count
        case .list(let values): values.reduce(48) { $0 + $1.weight }
        case .table(let values): values.reduce(48) { $0 + 48 + $1.key.utf8.count + $1.value.weight }
        default: 48
        }
    }
}
