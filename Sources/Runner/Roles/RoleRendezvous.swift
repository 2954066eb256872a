import Bindings
import CKernel
import Kernel
import LuaKit

/// Connects a role of this process to the others.
final class RoleRendezvous: Rendezvous {
    let role: String
    let peers: [String]
    /// All roles, in the scenario's order.
    var roles: [String] { state.names }
    private let state: RoleState
    private let kernel: any Kernel
    private let isSimulated: Bool
    private let isInterrupted: () -> Bool
    /// Called when this role is interrupted while it waits for the others' results; false ends the waiting.
    var interrupted: () -> Bool = { true }
    /// Index of the running case.
    var index = 0

    init(
        _ role: String, _ state: RoleState, _ kernel: any Kernel, isSimulated: Bool,
        isInterrupted: @escaping () -> Bool
    ) {
        self.role = role
        peers = state.names.filter { $0 != role }
        self.state = state
        self.kernel = kernel
        self.isSimulated = isSimulated
        self.isInterrupted = isInterrupted
    }

    func barrier(timeout: UInt64) throws(ErrorValue) {
        let count = state.arrive(role, at: index)
        _ = try wait(timeout, "the others did not reach this barrier") { () throws(ErrorValue) in
            try state.isReached(count, at: index)
        }
    }

    func send(_ value: LuaValue, to role: String) throws(ErrorValue) {
        try check(role)
        try state.post(value, from: self.role, to: role, at: index)
    }

    func receive(from role: String, timeout: UInt64) throws(ErrorValue) -> LuaValue {
        try check(role)
        return try wait(timeout, "role '\(role)' sent nothing") { () throws(ErrorValue) in
            try state.take(from: role, to: self.role, at: index)
        }
    }

    /// Results of the case for all roles; waits for the slowest.
    func end(_ result: CaseResult) -> [String: CaseResult] {
        state.end(role, result, at: index)
        while true {
            if let results = state.results(of: result.name, at: index) { return results }
            if isInterrupted(), !interrupted() { return [role: result] }
            pause()
        }
    }

    private func check(_ role: String) throws(ErrorValue) {
        guard !peers.contains(role) else { return }
        throw ErrorValue(
            kind: .argument, "'\(role)' is none of the other roles: \(peers.joined(separator: ", "))")
    }

    /// Lets the others run; on a simulated bench its clock advances.
    private func pause() {
        if isSimulated { _ = kernel.sleep(nanoseconds: 1_000_000) } else { state.pause() }
    }

    /// Nanoseconds, by the simulated clock or the machine's.
    private var now: UInt64 { isSimulated ? kernel.monotonic() : sys_monotonic() }

    private func wait<Value>(
        _ timeout: UInt64, _ what: String, _ body: () throws(ErrorValue) -> Value?
    ) throws(ErrorValue) -> Value {
        let end = now &+ timeout
        while true {
            if let value = try body() { return value }
            if isInterrupted() { throw ErrorValue(kind: .interrupt, "interrupted") }
            guard now < end else {
                throw ErrorValue(kind: .peer, "\(what) within \(timeout / 1_000_000) ms")
            }
            pause()
        }
    }
}
