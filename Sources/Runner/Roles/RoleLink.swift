import Bindings
import CKernel
import Glibc
import Kernel
import LuaKit

/// Connects this process to the roles of a scenario in other processes, perhaps on other machines.
///
/// The first role listens; the others connect to it, and it forwards the events of each to all others. Every process
/// keeps its own ``RoleState``, so that waiting for a role works the same in all of them.
final class RoleLink: @unchecked Sendable {
    let roles: RoleState
    private let role: String
    private let assignment: RoleAssignment
    private let scenario: String
    private let digest: UInt64
    private let settings: [String: String]
    /// Names of `--case`; empty for all cases.
    private let selection: [String]
    /// Gets lines for the user while the roles meet.
    private let note: (String) -> Void
    private let isInterrupted: () -> Bool
    /// A monotonic clock, nanoseconds.
    private let clock: () -> UInt64
    /// How long another process may read nothing, nanoseconds.
    private let patience: UInt64
    /// By role. Outside the first role's process, only the first role's.
    private var connections: [String: Connection] = [:]
    private var readers: [pthread_t] = []
    /// Roles that were refused, with the reason; and the number of such notes.
    private var turnedAway: [String: String] = [:]
    private var refusals = 0
    private static let mostRefusals = 8, mostSettings = 20

    init(
        _ role: String, _ roles: [String], _ assignment: RoleAssignment, scenario: String, text: [UInt8], cases: Int,
        settings: [String: String] = [:], selection: [String] = [], memory: UInt64 = Limits.defaultMemory,
        clock: @escaping () -> UInt64 = { sys_monotonic() }, patience: UInt64 = Connection.patience,
        note: @escaping (String) -> Void = { _ in }, isInterrupted: @escaping () -> Bool
    ) {
        self.roles = RoleState(roles, cases: cases, own: role, memory: memory)
        self.role = role
        self.assignment = assignment
        self.scenario = scenario
        digest = FNV1a(text).value
        self.settings = RoleLink.told(settings)
        self.selection = RoleLink.told(selection)
        self.note = note
        self.clock = clock
        self.patience = patience
        self.isInterrupted = isInterrupted
    }

    /// How long to wait for the others' end, nanoseconds.
    private static let farewell: UInt64 = 5_000_000_000
    /// How long a connected peer may take to introduce itself (nanoseconds), and the most such peers at once.
    private static let introduction: UInt64 = 3_000_000_000, mostStrangers = 64
    /// Interval at which waits check for interruption and the time limit, nanoseconds.
    private static let turn: UInt64 = 50_000_000

    // MARK: Meeting

    /// Waits until all roles have joined. Throws an error of kind "peer" where one does not in time.
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

    /// Calls `body` until it returns a value, or the time is over.
    private func wait<Value>(
        until end: UInt64, _ what: () -> String, _ body: () throws(Failure) -> Value?
    ) throws(Failure) -> Value {
        while true {
            if let value = try body() { return value }
            guard clock() < end, !isInterrupted() else { throw giveUp(what()) }
        }
    }

    private var endOfPatience: UInt64 { clock() + UInt64(assignment.patience) * 1_000_000_000 }

    /// A peer that has connected and not introduced itself yet.
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
            // Above the limit, the oldest silent peers are dropped in favour of new ones.
            strangers.removeFirst(max(0, strangers.count - RoleLink.mostStrangers))
            return absent().isEmpty ? () : nil
        }
        for (_, connection) in connections {
            connection.longest = Connection.longest
            connection.send(
                .welcome(
                    settings: settings.isEmpty ? nil : settings, selection: selection.isEmpty ? nil : selection))
        }
    }

    /// True where the peer is done with: it has joined, was refused (and told why), took too long, or has closed.
    private func listen(to stranger: Stranger, _ absent: [String]) -> Bool {
        switch stranger.connection.receive(within: 0) {
        case .nothing: return clock() &- stranger.since >= RoleLink.introduction
        case .event(.hello(let name, let scenario, let digest, let version, let set, let selected)):
            if let reason = reason(against: name, scenario, digest, version, absent) {
                stranger.connection.send(.refused(reason: reason))
                turnAway(name, because: reason)
            } else {
                connections[name] = stranger.connection
                compare(set ?? [:], of: name)
                compare(selected ?? [], of: name)
            }
            return true
        case .event, .wrong, .end: return true
        }
    }

    /// Reports a refused role at once, each reason once: it may be the right machine with another version of the file.
    private func turnAway(_ name: String, because reason: String) {
        guard roles.names.contains(name), turnedAway[name] != reason else { return }
        turnedAway[name] = reason
        guard refusals < RoleLink.mostRefusals else { return }
        refusals += 1
        note("role '\(name)' came and was refused: \(PrintableText.line(reason)); it is waited for")
    }

    /// Reports settings that differ in another role. Options for devices are not compared, as devices differ between
    /// machines.
    private func compare(_ others: [String: String], of name: String) {
        for option in Set(settings.keys).union(others.keys).sorted().prefix(RoleLink.mostSettings)
        where settings[option] != others[option] {
            let other = others[option].map { "\(option)=\($0)" } ?? "no \(option)"
            let own = settings[option].map { "\(option)=\($0)" } ?? "none"
            note(PrintableText.line("--set differs: role '\(name)' has \(other), this one has \(own)"))
        }
    }

    /// Reports that another role selects other cases, so that roles wait for one that does not come.
    private func compare(_ others: [String], of name: String) {
        guard others != selection else { return }
        func text(_ names: [String]) -> String {
            names.isEmpty ? "none" : names.prefix(RoleLink.mostSettings).map { "'\($0)'" }.joined(separator: ", ")
        }
        note(PrintableText.line("--case differs: role '\(name)' has \(text(others)), this one has \(text(selection))"))
    }

    /// Names in the form that is sent. Those beyond the most are told by what they amount to.
    private static func told(_ selection: [String]) -> [String] {
        let names = Set(selection).sorted()
        let rest = names.dropFirst(mostSettings - 1)
        guard rest.count > 1 else { return names.map(short) }
        return names.prefix(mostSettings - 1).map(short)
            + ["...(\(String(FNV1a(rest.joined(separator: "\n").utf8).value, radix: 16)))"]
    }

    /// Settings in the form that is sent: long ones are cut, but so that a difference remains visible.
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
        return begin + "...(\(String(FNV1a(text.utf8).value, radix: 16)))"
    }

    /// Why a role may not join; nil where it may.
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
                // These errors mean that the first role may not have started yet; others are final.
                guard [ECONNREFUSED, ETIMEDOUT, EINTR, EHOSTUNREACH].contains(error.errno.code) else { throw error }
                usleep(20_000)
                return nil
            }
        }
        let connection = Connection(descriptor, patience: patience)
        connection.send(
            .hello(
                role: role, scenario: scenario, digest: digest, version: RoleEvent.version,
                settings: settings.isEmpty ? nil : settings, selection: selection.isEmpty ? nil : selection))
        let refused = { [assignment] (errno: Int32, reason: String) in
            Failure("rendezvous", Errno(errno), object: assignment.address.text, hint: PrintableText.line(reason))
        }
        // Waits anew for the others, who may come later: the first role's own wait began before this connection.
        try wait(until: endOfPatience, { "the other roles did not come" }) { () throws(Failure) -> Void? in
            switch connection.receive(within: RoleLink.turn) {
            case .nothing: return nil
            case .event(.welcome(let set, let selected)):
                compare(set ?? [:], of: first)
                compare(selected ?? [], of: first)
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
        // A reason that a role gave for its own end came first and stays. Without the first role, none of the others
        // can be reached.
        for gone in speakers {
            let event = RoleEvent.leave(role: gone, reason: wrong ?? "the connection to its process was lost")
            if !isHost { pass(event, of: name) }
            roles.enter(event)
        }
        if let wrong {
            // Tells the peer, which may be a correct one of another version.
            if !isHost { connection.send(.refused(reason: wrong)) }
            connection.cut()
        }
        connection.ended()
    }

    private func pass(_ event: RoleEvent, of name: String) { tell(event, but: name) }

    /// Sends an event to all others except its own role. A role that does not read it counts as gone; without the first
    /// role, all do.
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
            // Cut last: the thread that receives on it would otherwise report a lost connection as the reason.
            connection.cut()
        }
    }

    /// Handles events of a connection until it ends (nil), or brings one that is not allowed: returns the reason.
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
                // Forwarded before it counts here: otherwise the first role might end before the others have received
                // it.
                if !isHost { pass(event, of: name) }
                if let reason = roles.take(event) { return reason }
            }
        }
    }

    /// Ends this role: tells the others, and waits until they have ended too.
    func finish(because reason: String) {
        roles.leave(role, because: reason)
        for (_, connection) in connections { connection.finish() }
        // Limited, so that a peer that hangs does not block this role.
        let end = sys_monotonic() + RoleLink.farewell
        while connections.values.contains(where: { !$0.hasEnded }), sys_monotonic() < end { usleep(5000) }
        for (_, connection) in connections { connection.cut() }
        for reader in readers { pthread_join(reader, nil) }
        connections = [:]
    }
}

/// The role of a process that runs only one role.
public struct RoleAssignment: Sendable {
    /// How the role is chosen.
    public enum Choice: Sendable {
        /// By its name.
        case name(String)
        /// By its index in the scenario's list, from 0, and the number of processes.
        case rank(Int, of: Int)
    }
    let choice: Choice
    /// Address at which the first role listens.
    public let address: SocketAddress
    /// Seconds to wait for the other roles.
    let patience: Int

    /// A role that meets the others at `address`, where the first one listens.
    public init(_ choice: Choice, at address: SocketAddress, patience: Int = 120) {
        self.choice = choice
        self.address = address
        self.patience = patience
    }

    /// The role's name in a scenario; nil where the scenario has no roles and simply runs here.
    func role(of roles: [String], in scenario: String) throws(ErrorValue) -> String? {
        guard !roles.isEmpty else {
            // A launcher that assigns ranks may start a scenario without roles on many machines.
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
