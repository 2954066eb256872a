import Bindings
import CKernel
import Glibc
import Kernel
import LuaKit

/// The roles of a scenario that run in other processes, perhaps on other machines.
///
/// The first role listens; the others connect to it, and it passes on to each what another tells. Every process keeps a
/// state of its own of what all roles did, so that waiting for a role is the same wherever it runs.
final class RoleLink: @unchecked Sendable {
    let roles: RoleState
    private let role: String
    private let assignment: RoleAssignment
    private let scenario: String
    private let digest: UInt64
    private let settings: [String: String]
    /// Told of what is to be known while the roles meet, a line each.
    private let note: (String) -> Void
    private let isInterrupted: () -> Bool
    /// Nanoseconds of a clock that only goes forward.
    private let clock: () -> UInt64
    /// How long another process may take nothing of what it is sent, nanoseconds.
    private let patience: UInt64
    /// By role; of a process that is not the first role's there is one.
    private var connections: [String: Connection] = [:]
    private var readers: [pthread_t] = []
    /// Roles that came and were refused, and why; and how often that was said.
    private var turnedAway: [String: String] = [:]
    private var refusals = 0
    private static let mostRefusals = 8, mostSettings = 20

    init(
        _ role: String, _ roles: [String], _ assignment: RoleAssignment, scenario: String, text: [UInt8], cases: Int,
        settings: [String: String] = [:], memory: UInt64 = Limits.defaultMemory,
        clock: @escaping () -> UInt64 = { sys_monotonic() }, patience: UInt64 = Connection.patience,
        note: @escaping (String) -> Void = { _ in }, isInterrupted: @escaping () -> Bool
    ) {
        self.roles = RoleState(roles, cases: cases, own: role, memory: memory)
        self.role = role
        self.assignment = assignment
        self.scenario = scenario
        digest = RoleLink.hash(text)
        self.settings = RoleLink.told(settings)
        self.note = note
        self.clock = clock
        self.patience = patience
        self.isInterrupted = isInterrupted
    }

    /// How long the others may take to end, nanoseconds.
    private static let farewell: UInt64 = 5_000_000_000
    /// How long one that has connected may take to say who it is, and how many of those are listened to at once.
    private static let introduction: UInt64 = 3_000_000_000, mostStrangers = 64
    /// How often it is looked whether the wait was interrupted, or is over.
    private static let turn: UInt64 = 50_000_000

    // MARK: Meeting

    /// Waits until every role is here. An error of kind "peer" where one does not come in time.
    func meet() throws(ErrorValue) {
        do throws(Failure) {
            if role == roles.names[0] { try host() } else { try join() }
        } catch {
            throw error.luaError
        }
        roles.tell = { [unowned self] event in tell(event) }
        for (name, connection) in connections {
            let isHost = role != roles.names[0]
            let reader = startThread { [self] in read(connection, of: name, isHost: isHost) }
            guard let reader else { throw ErrorValue(kind: .peer, "no thread for the connection to role '\(name)'") }
            readers.append(reader)
        }
    }

    private func giveUp(_ what: String) -> Failure {
        isInterrupted()
            ? Failure(
                "rendezvous", Errno(EINTR), object: assignment.address.text, hint: what)
            : Failure(
                "rendezvous", Errno(ETIMEDOUT), object: assignment.address.text,
                hint: "\(what) within \(assignment.patience) s; start every role with the same --rendezvous")
    }

    /// Calls `body` until it gives something, or the time is over.
    private func wait<Value>(
        until end: UInt64, _ what: () -> String, _ body: () throws(Failure) -> Value?
    ) throws(Failure) -> Value {
        while true {
            if let value = try body() { return value }
            guard clock() < end, !isInterrupted() else { throw giveUp(what()) }
        }
    }

    private var endOfPatience: UInt64 { clock() + UInt64(assignment.patience) * 1_000_000_000 }

    /// One that has connected and has not said who it is.
    private struct Stranger {
        let connection: Connection
        let since: UInt64
    }

    private func host() throws(Failure) {
        let socket = try assignment.address.listen()
        defer { close(socket) }
        _ = fcntl(socket, F_SETFL, O_NONBLOCK)
        let absent = { [self] in roles.names.filter { $0 != role && connections[$0] == nil } }
        let missing = { [self] in
            absent().map { name in name + (turnedAway[name].map { " (one came and was refused: \($0))" } ?? "") }
        }
        var strangers: [Stranger] = []
        try wait(until: endOfPatience, { "did not come: \(missing().joined(separator: ", "))" }) {
            () throws(Failure) -> Void? in
            var entries = (strangers.map(\.connection.descriptor) + [socket]).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            poll(&entries, nfds_t(entries.count), Int32(RoleLink.turn / 1_000_000))
            let descriptor = accept(socket, nil, nil)
            if descriptor >= 0 {
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                strangers.append(Stranger(connection: Connection(descriptor, patience: patience), since: clock()))
            }
            strangers.removeAll { listen(to: $0, absent()) }
            // Who has come first and says nothing makes room for who may.
            strangers.removeFirst(max(0, strangers.count - RoleLink.mostStrangers))
            return absent().isEmpty ? () : nil
        }
        for (_, connection) in connections {
            connection.longest = Connection.longest
            connection.send(.welcome(settings: settings.isEmpty ? nil : settings))
        }
    }

    /// Whether it is known who somebody is, or that it is no role of this scenario; that one is told so.
    private func listen(to stranger: Stranger, _ absent: [String]) -> Bool {
        switch stranger.connection.receive(within: 0) {
        case .nothing: return clock() &- stranger.since >= RoleLink.introduction
        case .event(.hello(let name, let scenario, let digest, let version, let set)):
            if let reason = reason(against: name, scenario, digest, version, absent) {
                stranger.connection.send(.refused(reason: reason))
                turnAway(name, because: reason)
            } else {
                connections[name] = stranger.connection
                compare(set ?? [:], of: name)
            }
            return true
        case .event, .wrong, .end: return true
        }
    }

    /// Says at once that one came and was refused, once for each reason: it may be the right one, with another file.
    private func turnAway(_ name: String, because reason: String) {
        guard roles.names.contains(name), turnedAway[name] != reason else { return }
        turnedAway[name] = reason
        guard refusals < RoleLink.mostRefusals else { return }
        refusals += 1
        note("role '\(name)' came and was refused: \(PrintableText.line(reason)); it is waited for")
    }

    /// What was set otherwise for another role. Devices differ from machine to machine, and are not among it.
    private func compare(_ others: [String: String], of name: String) {
        for option in Set(settings.keys).union(others.keys).sorted().prefix(RoleLink.mostSettings)
        where settings[option] != others[option] {
            let other = others[option].map { "\(option)=\($0)" } ?? "no \(option)"
            let own = settings[option].map { "\(option)=\($0)" } ?? "none"
            note(PrintableText.line("--set differs: role '\(name)' has \(other), this one has \(own)"))
        }
    }

    /// Settings as others are told them: what is long only so far that a difference is seen.
    private static func told(_ settings: [String: String]) -> [String: String] {
        var told: [String: String] = [:]
        for (name, value) in settings.sorted(by: { $0.key < $1.key }).prefix(mostSettings) {
            told[short(name)] = short(value)
        }
        return told
    }

    private static func short(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
        guard text.utf8.count > 40 || !isPlain else { return text }
        let begin = isPlain ? String(text.prefix(20)) : ""
        return begin + "...(\(String(hash(Array(text.utf8)), radix: 16)))"
    }

    /// FNV-1a
    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// Why one that wants to take part cannot; nil where it can.
    private func reason(
        against name: String, _ scenario: String, _ digest: UInt64, _ version: Int, _ absent: [String]
    ) -> String? {
        if version != RoleEvent.version { return "the first role's peerlab is another version" }
        if scenario != self.scenario { return "the first role runs '\(self.scenario)', not '\(scenario)'" }
        if digest != self.digest { return "the first role's file of '\(scenario)' is another one" }
        guard absent.contains(name) else {
            return roles.names.contains(name)
                ? "role '\(name)' is taken" : "'\(name)' is none of the roles: \(roles.names.joined(separator: ", "))"
        }
        return nil
    }

    private func join() throws(Failure) {
        let first = roles.names[0]
        let descriptor = try wait(until: endOfPatience, { "nobody listened for role '\(first)'" }) {
            () throws(Failure) -> Int32? in
            do throws(Failure) { return try assignment.address.connect() } catch {
                // The first role may not have started; another reason stays one.
                guard [ECONNREFUSED, ETIMEDOUT, EINTR, EHOSTUNREACH].contains(error.errno.code) else { throw error }
                usleep(20_000)
                return nil
            }
        }
        let connection = Connection(descriptor, patience: patience)
        connection.send(
            .hello(
                role: role, scenario: scenario, digest: digest, version: RoleEvent.version,
                settings: settings.isEmpty ? nil : settings))
        let refused = { [assignment] (errno: Int32, reason: String) in
            Failure("rendezvous", Errno(errno), object: assignment.address.text, hint: PrintableText.line(reason))
        }
        // The others may come much later: the first role's patience began before this connection.
        try wait(until: endOfPatience, { "the other roles did not come" }) { () throws(Failure) -> Void? in
            switch connection.receive(within: RoleLink.turn) {
            case .nothing: return nil
            case .event(.welcome(let set)):
                compare(set ?? [:], of: first)
                return ()
            case .event(.refused(let reason)): throw refused(EPROTO, reason)
            case .event, .wrong: throw refused(EPROTO, "role '\(first)' does not begin as one that waits for roles")
            case .end: throw refused(ECONNRESET, "role '\(first)' ended before every role was there")
            }
        }
        connection.longest = Connection.longest
        connections[first] = connection
    }

    // MARK: Events

    private func read(_ connection: Connection, of name: String, isHost: Bool) {
        let speakers = isHost ? roles.names.filter { $0 != role } : [name]
        let wrong = takeAll(of: connection, name, for: speakers, isHost: isHost)
        // What a role said of its own end comes first and stays. The others are out of reach without the first.
        for gone in speakers {
            let event = RoleEvent.leave(role: gone, reason: wrong ?? "the connection to its process was lost")
            if !isHost { pass(event, of: name) }
            roles.enter(event)
        }
        if let wrong {
            // It may be right and of another version.
            if !isHost { connection.send(.refused(reason: wrong)) }
            connection.cut()
        }
        connection.ended()
    }

    private func pass(_ event: RoleEvent, of name: String) { tell(event, but: name) }

    /// Tells all others, but for the one whose event it is. Who does not take it is gone, and with the first role all are.
    private func tell(_ event: RoleEvent, but speaker: String? = nil) {
        for (name, connection) in connections where name != speaker {
            guard connection.send(event) == .stuck else { continue }
            let seconds = patience / 1_000_000_000
            let reason = "it took nothing of what it was sent for \(seconds) s, and its connection was cut"
            let isHost = role != roles.names[0]
            for gone in isHost ? roles.names.filter({ $0 != role }) : [name] {
                let event = RoleEvent.leave(role: gone, reason: gone == name ? reason : "role '\(name)': \(reason)")
                roles.enter(event)
                if !isHost { pass(event, of: name) }
            }
            // Only now, as who receives from it would say that it was lost.
            connection.cut()
        }
    }

    /// Takes what a connection brings until it ends, or brings what it may not: what that is.
    private func takeAll(
        of connection: Connection, _ name: String, for speakers: [String], isHost: Bool
    ) -> String? {
        while true {
            switch connection.receive(within: nil) {
            case .nothing: continue
            case .end: return nil
            case .wrong(let reason): return reason
            case .event(.refused(let reason)) where isHost: return "the first role says: " + PrintableText.line(reason)
            case .event(var event):
                if let reason = event.refusal(of: speakers, in: roles.names, cases: roles.cases) { return reason }
                if case .leave(let role, let reason) = event {
                    event = .leave(role: role, reason: PrintableText.line(reason))
                }
                // Passed on before it counts here: the first role must not end of what the others have yet to hear.
                if !isHost { pass(event, of: name) }
                if let reason = roles.take(event) { return reason }
            }
        }
    }

    /// This role runs no more: tells the others, and waits until they are done too.
    func finish(because reason: String) {
        roles.leave(role, because: reason)
        for (_, connection) in connections { connection.finish() }
        // A peer that stands still does not hold this one up.
        let end = sys_monotonic() + RoleLink.farewell
        while connections.values.contains(where: { !$0.hasEnded }), sys_monotonic() < end { usleep(5000) }
        for (_, connection) in connections { connection.cut() }
        for reader in readers { pthread_join(reader, nil) }
        connections = [:]
    }
}

/// Where a role runs that is a process of its own.
public struct RoleAssignment: Sendable {
    /// Which role.
    public enum Choice: Sendable {
        /// By its name.
        case name(String)
        /// By its index in the scenario's list, from 0, of so many processes.
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
            throw ErrorValue(kind: .usage, "--role: '\(scenario)' declares no roles; run it without")
        }
        switch choice {
        case .name(let name):
            guard roles.contains(name) else {
                throw ErrorValue(
                    kind: .usage,
                    "--role: '\(name)' is none of the roles of '\(scenario)': \(roles.joined(separator: ", "))")
            }
            return name
        case .rank(let rank, let count):
            guard count == roles.count, roles.indices.contains(rank) else {
                throw ErrorValue(
                    kind: .usage,
                    "'\(scenario)' has \(roles.count) roles (\(roles.joined(separator: ", "))), and this is process \(rank) "
                        + "of \(count): start as many as there are roles, or name one with --role")
            }
            return roles[rank]
        }
    }
}
