import Bindings
import Glibc
import Kernel
import LuaKit

/// The roles of a scenario that run in other processes, perhaps on other machines.
///
/// The first role listens; the others connect to it, and it passes on to each what another tells. Every process keeps a
/// table of its own of all that roles did, so that waiting for a role is the same wherever it runs.
final class RoleLink: @unchecked Sendable {
    let table: RoleTable
    private let role: String
    private let place: RolePlace
    private let scenario: String
    private let digest: UInt64
    private let isInterrupted: () -> Bool
    /// By role; of a process that is not the first role's there is one.
    private var connections: [String: Connection] = [:]
    private var readers: [pthread_t] = []

    init(
        _ role: String, _ roles: [String], _ place: RolePlace, scenario: String, text: [UInt8],
        isInterrupted: @escaping () -> Bool
    ) {
        table = RoleTable(roles)
        self.role = role
        self.place = place
        self.scenario = scenario
        // FNV-1a
        digest = text.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        self.isInterrupted = isInterrupted
    }

    /// How long the others may take to end, nanoseconds.
    private static let farewell: UInt64 = 5_000_000_000

    // MARK: Meeting

    /// Waits until every role is here. An error of kind "peer" where one does not come in time.
    func meet() throws(ErrorValue) {
        do throws(Failure) {
            if role == table.roles[0] { try host() } else { try join() }
        } catch {
            throw error.luaError
        }
        table.tell = { [unowned self] event in for (_, other) in connections { other.send(event) } }
        for (name, connection) in connections {
            let isHost = role != table.roles[0]
            let reader = startThread { [self] in read(connection, of: name, isHost: isHost) }
            guard let reader else { throw ErrorValue(kind: "peer", "no thread for the connection to role '\(name)'") }
            readers.append(reader)
        }
    }

    private func giveUp(_ what: String) -> Failure {
        isInterrupted()
            ? Failure(
                "rendezvous", Errno(EINTR), object: place.address.text, hint: "interrupted while waiting: \(what)")
            : Failure(
                "rendezvous", Errno(ETIMEDOUT), object: place.address.text,
                hint: "\(what) within \(place.patience) s; start every role with the same --rendezvous")
    }

    /// Calls `body` until it gives something, or the time is over.
    private func wait<Value>(_ what: () -> String, _ body: () throws(Failure) -> Value?) throws(Failure) -> Value {
        let end = time(nil) + place.patience
        while true {
            if let value = try body() { return value }
            guard time(nil) < end, !isInterrupted() else { throw giveUp(what()) }
            usleep(20_000)
        }
    }

    private func host() throws(Failure) {
        let socket = try place.address.listen()
        defer { close(socket) }
        _ = fcntl(socket, F_SETFL, O_NONBLOCK)
        let absent = { [self] in table.roles.filter { $0 != role && connections[$0] == nil } }
        while !absent().isEmpty {
            let descriptor = try wait({ "did not come: \(absent().joined(separator: ", "))" }) {
                () throws(Failure) -> Int32? in
                let descriptor = accept(socket, nil, nil)
                guard descriptor >= 0 else { return nil }
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                return descriptor
            }
            let connection = Connection(descriptor)
            connection.limitWait(2)
            // Whoever is no role of this scenario is told so, and the wait goes on.
            guard case .hello(let name, let scenario, let digest, let version)? = connection.receive() else { continue }
            if let reason = reason(against: name, scenario, digest, version, absent()) {
                connection.send(.refused(reason: reason))
                continue
            }
            connection.limitWait(0)
            connections[name] = connection
        }
        for (_, connection) in connections { connection.send(.welcome) }
    }

    /// Why one that wants to take part cannot; nil where it can.
    private func reason(
        against name: String, _ scenario: String, _ digest: UInt64, _ version: Int, _ absent: [String]
    ) -> String? {
        if version != RoleEvent.version { return "the first role's peerlab is another version" }
        if scenario != self.scenario { return "the first role runs '\(self.scenario)', not '\(scenario)'" }
        if digest != self.digest { return "the first role's file of '\(scenario)' is another one" }
        guard absent.contains(name) else {
            return table.roles.contains(name)
                ? "role '\(name)' is taken" : "'\(name)' is none of the roles: \(table.roles.joined(separator: ", "))"
        }
        return nil
    }

    private func join() throws(Failure) {
        let first = table.roles[0]
        let descriptor = try wait({ "nobody listened for role '\(first)'" }) { () throws(Failure) -> Int32? in
            do throws(Failure) { return try place.address.connect() } catch {
                // The first role may not have started; another reason stays one.
                guard [ECONNREFUSED, ETIMEDOUT, EINTR, EHOSTUNREACH].contains(error.errno.code) else { throw error }
                return nil
            }
        }
        let connection = Connection(descriptor)
        connection.send(.hello(role: role, scenario: scenario, digest: digest, version: RoleEvent.version))
        connection.limitWait(1)
        let answer = try wait({ "the other roles did not come" }) { () throws(Failure) -> RoleEvent? in
            errno = 0
            if let event = connection.receive() { return event }
            guard errno == EAGAIN else {
                throw Failure(
                    "rendezvous", Errno(ECONNRESET), object: place.address.text,
                    hint: "role '\(first)' ended before every role was there")
            }
            return nil
        }
        if case .refused(let reason) = answer {
            throw Failure("rendezvous", Errno(EPROTO), object: place.address.text, hint: reason)
        }
        connection.limitWait(0)
        connections[first] = connection
    }

    // MARK: Events

    private func read(_ connection: Connection, of name: String, isHost: Bool) {
        while let event = connection.receive() {
            // Passed on before it counts here: the first role must not end of what the others have yet to hear.
            if !isHost { for (other, link) in connections where other != name { link.send(event) } }
            table.apply(event)
        }
        connection.ended()
        // What a role said of its own end comes first and stays. The others are out of reach without the first.
        for gone in isHost ? table.roles.filter({ $0 != role }) : [name] {
            let event = RoleEvent.leave(role: gone, reason: "the connection to its process was lost")
            if !isHost { for (other, link) in connections where other != name { link.send(event) } }
            table.apply(event)
        }
    }

    /// This role runs no more: tells the others, and waits until they are done too.
    func finish(because reason: String) {
        table.leave(role, because: reason)
        for (_, connection) in connections { connection.finish() }
        // A peer that stands still does not hold this one up.
        let end = RoleTable.now + RoleLink.farewell
        while connections.values.contains(where: { !$0.hasEnded }), RoleTable.now < end { usleep(5000) }
        for (_, connection) in connections { connection.cut() }
        for reader in readers { pthread_join(reader, nil) }
        connections = [:]
    }
}

/// Where a role runs that is a process of its own.
public struct RolePlace: Sendable {
    /// Which role.
    public enum Choice: Sendable {
        /// By its name.
        case name(String)
        /// By its place in the scenario's list, from 0, of so many processes.
        case rank(Int, of: Int)
    }
    let choice: Choice
    /// Where the first role listens.
    public let address: SocketAddress
    /// Seconds to wait for the other roles to come.
    let patience: Int

    /// A role that meets the others at `address`, where the first one listens.
    public init(_ choice: Choice, at address: SocketAddress, patience: Int = 120) {
        self.choice = choice
        self.address = address
        self.patience = patience
    }

    /// The role's name in a scenario; nil where one without roles runs here as it does alone.
    func role(of roles: [String], in scenario: String) throws(ErrorValue) -> String? {
        guard !roles.isEmpty else {
            // A launcher may start a scenario without roles on many machines.
            if case .rank = choice { return nil }
            throw ErrorValue(kind: "usage", "--role: '\(scenario)' declares no roles; run it without")
        }
        switch choice {
        case .name(let name):
            guard roles.contains(name) else {
                throw ErrorValue(
                    kind: "usage",
                    "--role: '\(name)' is none of the roles of '\(scenario)': \(roles.joined(separator: ", "))")
            }
            return name
        case .rank(let rank, let count):
            guard count == roles.count, roles.indices.contains(rank) else {
                throw ErrorValue(
                    kind: "usage",
                    "'\(scenario)' has \(roles.count) roles (\(roles.joined(separator: ", "))), and this is process \(rank) "
                        + "of \(count): start as many as there are roles, or name one with --role")
            }
            return roles[rank]
        }
    }
}
