import CKernel
import FoundationEssentials
import Glibc
import LuaKit
import Synchronization
import Testing

@testable import Bindings
@testable import Runner

/// Roles of different processes, which may be wrong or hostile.
@Suite struct RendezvousTests {
    /// An address that nobody else gets; it is bound and does not listen.
    private final class Meeting {
        private let holder: Int32
        let place: RoleAssignment
        let roles: [String]

        init(_ roles: [String] = ["A", "B"], patience: Int = 60) throws {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            holder = descriptor
            self.roles = roles
            Connection.set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
                }
            }
            try #require(isBound)
            let port = UInt16(bigEndian: address.sin_port)
            place = RoleAssignment(.name("A"), at: try #require(SocketAddress("127.0.0.1:\(port)")), patience: patience)
        }

        deinit { close(holder) }

        func link(
            _ role: String, clock: @escaping () -> UInt64 = { sys_monotonic() }, patience: UInt64 = Connection.patience,
            settings: [String: String] = [:], selection: [String] = [], note: @escaping (String) -> Void = { _ in },
            looks: @escaping () -> Void = {}
        ) -> RoleLink {
            RoleLink(
                role, roles, place, scenario: "s", text: [], cases: 3, settings: settings, selection: selection,
                clock: clock, patience: patience, note: note,
                isInterrupted: {
                    looks()
                    return false
                })
        }

        /// The first role, which has met the others once these have come.
        func host(
            clock: @escaping () -> UInt64 = { sys_monotonic() }, patience: UInt64 = Connection.patience
        ) throws -> Running {
            try Running(link("A", clock: clock, patience: patience))
        }

        func peer(_ role: String) throws -> Peer {
            let peer = try Peer(place.address)
            let hello = #"{"hello":{"role":"\#(role)","scenario":"s","digest":14695981039346656037,"version":2}}"#
            peer.send(hello)
            return peer
        }
    }

    /// A role that meets the others in a thread of its own.
    private final class Running: @unchecked Sendable {
        let link: RoleLink
        private var thread: pthread_t?
        private var error: ErrorValue?

        init(_ link: RoleLink) throws {
            self.link = link
            thread = startThread { [self] in
                do throws(ErrorValue) { try link.meet() } catch { self.error = error }
            }
            try #require(thread != nil)
        }

        /// Why it did not meet them; nil where it did.
        func met() -> ErrorValue? {
            if let thread { pthread_join(thread, nil) }
            thread = nil
            return error
        }

        /// How a case ended for all, this role having passed.
        func results(_ index: Int = 0) -> [String: CaseResult] {
            link.roles.end("A", CaseResult(name: "one", verdict: .pass, duration_ns: 1), at: index)
            while true {
                if let results = link.roles.results(of: "one", at: index) { return results }
                link.roles.pause()
            }
        }
    }

    /// What speaks to a role as another one would, or otherwise. Nothing that it waits for takes longer than a minute.
    private final class Peer {
        let descriptor: Int32

        init(_ descriptor: Int32) { self.descriptor = descriptor }

        init(_ address: SocketAddress) throws {
            var socket = try? address.connect()
            while socket == nil {
                usleep(1000)
                socket = try? address.connect()
            }
            descriptor = try #require(socket)
            var time = timeval(tv_sec: 60, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit { close() }

        private var isOpen = true

        func close() {
            if isOpen { Glibc.close(descriptor) }
            isOpen = false
        }

        func send(bytes: [UInt8]) {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }

        static func frame(_ text: String) -> [UInt8] {
            withUnsafeBytes(of: UInt32(text.utf8.count).bigEndian) { Array($0) } + Array(text.utf8)
        }

        func send(_ text: String) { send(bytes: Peer.frame(text)) }

        private func read(_ count: Int) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: count)
            guard count == 0 || recv(descriptor, &bytes, count, Int32(MSG_WAITALL)) == count else {
                return nil
            }
            return bytes
        }

        /// The next event's text; nil where the other side has ended.
        func receive() -> String? {
            guard let header = read(4) else { return nil }
            return read(header.reduce(0) { $0 << 8 | Int($1) }).map { String(decoding: $0, as: UTF8.self) }
        }

        /// Whether the other side ends the connection, whatever it still says.
        func isCut() -> Bool {
            var bytes = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(descriptor, &bytes, bytes.count, 0)
                if count <= 0 { return count == 0 || errno == ECONNRESET }
            }
        }
    }

    private static func end(
        _ role: String, _ verdict: String = "pass", index: Int = 0, log: String = "", metrics: String = ""
    ) -> String {
        #"{"end":{"role":"\#(role)","index":\#(index),"result":{"name":"one","verdict":"\#(verdict)","log":[\#(log)],"#
            + #""metrics":[\#(metrics)],"distributions":[],"evidence":[],"duration_ns":1}}}"#
    }

    // MARK: Meeting

    @Test func aRoleThatComesLateIsWaitedFor() throws {
        let meeting = try Meeting(["A", "B", "C"], patience: 20)
        let listens = Flag(), looked = Flag()
        let looks = Mutex(0)
        let first = try Running(meeting.link("A", looks: { listens.raise() }))
        listens.wait()
        let second = try Running(
            meeting.link(
                "B",
                looks: {
                    let count = looks.withLock {
                        $0 += 1
                        return $0
                    }
                    if count == 3 { looked.raise() }
                }))
        looked.wait()
        let third = try Running(meeting.link("C"))
        let all = [first, second, third]
        for one in all { #expect(one.met()?.message == nil) }
        let ends = all.compactMap { one in startThread { one.link.finish(because: "it has ended") } }
        for thread in ends { pthread_join(thread, nil) }
    }

    @Test func whatComesInPartsIsOneEvent() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let connection = Connection(ends[0])
        let peer = Peer(ends[1])
        let bytes = Peer.frame(#"{"leave":{"role":"A","reason":"r"}}"#)
        for byte in bytes {
            guard case .nothing = connection.receive(within: 1) else {
                Issue.record("an event before its end")
                return
            }
            peer.send(bytes: [byte])
        }
        guard case .event(.leave(role: "A", reason: "r")) = connection.receive(within: 1) else {
            Issue.record("no event")
            return
        }
    }

    /// A clock that stands still: nobody is sent away for being slow.
    @Test func whoSaysNothingHoldsNobodyUp() throws {
        let meeting = try Meeting()
        let host = try meeting.host(clock: { 0 })
        let silent = try (0..<70).map { _ in try Peer(meeting.place.address) }
        // More than are listened to.
        try #require(silent[0].isCut())
        let peer = try meeting.peer("B")
        try #require(peer.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        peer.close()
        host.link.finish(because: "it has ended")
    }

    @Test func theWaitForRolesEndsWhoeverKeepsComing() throws {
        let meeting = try Meeting(patience: 5)
        var came: [Peer] = []
        var looks: UInt64 = 0
        let link = meeting.link(
            "A",
            clock: {
                looks += 1
                if came.count < 15, let peer = try? Peer(meeting.place.address) { came.append(peer) }
                return looks * 1_000_000_000
            })
        let error = #expect(throws: ErrorValue.self) { try link.meet() }
        #expect(error?.name == "ETIMEDOUT")
        #expect(error?.message.contains("did not come: B") == true)
        #expect(came.count < 15)
    }

    @Test func aStrangerCannotSendMuch() throws {
        let meeting = try Meeting()
        let host = try meeting.host(clock: { 0 })
        let stranger = try Peer(meeting.place.address)
        stranger.send(bytes: [0, 0, 0x10, 1])
        try #require(stranger.isCut())
        let peer = try meeting.peer("B")
        try #require(peer.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        peer.close()
        host.link.finish(because: "it has ended")
    }

    @Test func theFirstRolesReasonIsOneLine() throws {
        let meeting = try Meeting()
        let listener = try meeting.place.address.listen()
        let role = try Running(meeting.link("B"))
        let host = Peer(accept(listener, nil, nil))
        close(listener)
        host.send(#"{"refused":{"reason":"no\n  ok    one  [1 us]"}}"#)
        #expect(role.met()?.hint == #"no\n  ok    one  [1 us]"#)
    }

    @Test func anythingButAWelcomeIsNone() throws {
        let meeting = try Meeting()
        let listener = try meeting.place.address.listen()
        let role = try Running(meeting.link("B"))
        let host = Peer(accept(listener, nil, nil))
        close(listener)
        host.send(Self.end("A"))
        #expect(role.met()?.name == "EPROTO")
    }

    @Test func whoComesWithAnotherFileIsToldAtOnceAndWaitedFor() throws {
        let meeting = try Meeting()
        let notes = Notes()
        let host = try Running(meeting.link("A", clock: { 0 }, note: { notes.add($0) }))
        let other = try Peer(meeting.place.address)
        other.send(#"{"hello":{"role":"B","scenario":"s","digest":1,"version":2}}"#)
        #expect(other.receive()?.contains("the first role's file of 's' is another one") == true)
        let peer = try meeting.peer("B")
        try #require(peer.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        let reason = "the first role's file of 's' is another one"
        #expect(notes.all == ["role 'B' came and was refused: \(reason); it is waited for"])
        peer.close()
        host.link.finish(because: "it has ended")
    }

    @Test func whoNeverComesWithTheRightFileIsNamedSo() throws {
        let meeting = try Meeting(patience: 5)
        var looks: UInt64 = 0
        let other = Notes()
        let link = meeting.link(
            "A",
            clock: {
                looks += 1
                if looks == 2, let peer = try? Peer(meeting.place.address) {
                    peer.send(#"{"hello":{"role":"B","scenario":"s","digest":1,"version":2}}"#)
                    other.keep(peer)
                }
                return other.all.isEmpty ? 0 : 10_000_000_000
            }, note: { other.add($0) })
        let error = #expect(throws: ErrorValue.self) { try link.meet() }
        #expect(error?.message.contains("did not come: B (one came and was refused: the first role's file") == true)
    }

    @Test func selectionsOfCasesThatDifferAreTold() throws {
        let meeting = try Meeting()
        let notes = Notes()
        let host = try Running(meeting.link("A", selection: ["two", "one"], note: { notes.add($0) }))
        let peer = try Peer(meeting.place.address)
        peer.send(
            #"{"hello":{"role":"B","scenario":"s","digest":14695981039346656037,"version":2,"selection":["o*"]}}"#)
        #expect(peer.receive() == #"{"welcome":{"selection":["one","two"]}}"#)
        #expect(host.met()?.message == nil)
        #expect(notes.all == ["--case differs: role 'B' has 'o*', this one has 'one', 'two'"])
        peer.close()
        host.link.finish(because: "it has ended")
    }

    @Test func settingsThatDifferAreTold() throws {
        let meeting = try Meeting()
        let notes = Notes()
        let host = try Running(meeting.link("A", settings: ["count": "5", "same": "1"], note: { notes.add($0) }))
        let peer = try Peer(meeting.place.address)
        peer.send(
            #"{"hello":{"role":"B","scenario":"s","digest":14695981039346656037,"version":2,"#
                + #""settings":{"same":"1","size":"4K"}}}"#)
        try #require(peer.receive()?.contains(#""count":"5""#) == true)
        #expect(host.met()?.message == nil)
        #expect(
            notes.all == [
                "--set differs: role 'B' has no count, this one has count=5",
                "--set differs: role 'B' has size=4K, this one has none",
            ])
        peer.close()
        host.link.finish(because: "it has ended")
    }

    // MARK: Events

    /// What B may not say, and why.
    static let forged: [(event: String, reason: String)] = {
        let long = "\"" + String(repeating: "x", count: 4 << 20) + "\""
        let many = String(repeating: "\"\",", count: 90_000) + "\"\""
        let lists = "[" + String(repeating: "[],", count: 1_500_000) + "[]]"
        return [
            (end("C"), "it spoke for role 'C'"),
            (end("A"), "it spoke for role 'A'"),
            (end("D"), "a role that the scenario does not have"),
            (#"{"arrive":{"role":"C","index":0}}"#, "it spoke for role 'C'"),
            (#"{"leave":{"role":"A","reason":"you are gone"}}"#, "it spoke for role 'A'"),
            (#"{"leave":{"role":"D","reason":""}}"#, "a role that the scenario does not have"),
            (#"{"post":{"value":{"none":{}},"from":"C","to":"A","index":0}}"#, "it spoke for role 'C'"),
            (
                #"{"post":{"value":{"none":{}},"from":"B","to":"D","index":0}}"#,
                "a role that the scenario does not have"
            ),
            (
                #"{"post":{"value":{"none":{}},"from":"B","to":"B","index":0}}"#,
                "a role that the scenario does not have"
            ),
            (#"{"arrive":{"role":"B","index":3}}"#, "a case that the scenario does not have"),
            (#"{"arrive":{"role":"B","index":-1}}"#, "a case that the scenario does not have"),
            (#"{"hello":{"role":"B","scenario":"s","digest":1,"version":2}}"#, "it began the meeting again"),
            (#"{"arrive":{"role":"B"}}"#, "it sent what is no event"),
            (end("B", metrics: #"{"name":"m","unit":"","better":"","value":"nan"}"#), "a number that is none"),
            (end("B", metrics: #"{"name":"m","unit":"","better":"","value":"-inf"}"#), "a number that is none"),
            (end("B", log: long), "more than 4 MiB"),
            (end("B", log: many), "more than 4 MiB"),
            (lists, "it sent what is no event"),
        ]
    }()

    @Test(arguments: RendezvousTests.forged.indices) func aPeerSpeaksForItselfAlone(_ number: Int) throws {
        let (event, reason) = Self.forged[number]
        let meeting = try Meeting(["A", "B", "C"])
        let host = try meeting.host()
        let (peer, other) = (try meeting.peer("B"), try meeting.peer("C"))
        #expect(peer.receive() == #"{"welcome":{}}"#)
        #expect(other.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        peer.send(event)
        // It says no more; a role that is believed would have ended well.
        shutdown(peer.descriptor, Int32(SHUT_WR))
        let heard = other.receive()
        #expect(heard?.hasPrefix(#"{"leave":{"#) == true)
        #expect(heard?.contains(#""role":"B""#) == true)
        #expect(heard?.contains(reason) == true)
        other.send(Self.end("C", "fail"))
        let results = host.results()
        #expect(results["A"]?.verdict == .pass)
        #expect(results["C"]?.verdict == .fail)
        #expect(results["B"]?.error?.kind == .peer)
        #expect(results["B"]?.message?.contains(reason) == true)
        #expect(peer.isCut())
        other.close()
        host.link.finish(because: "it has ended")
    }

    @Test func anEventThatIsTooLongEndsItsConnection() throws {
        let meeting = try Meeting()
        let host = try meeting.host()
        let peer = try meeting.peer("B")
        #expect(peer.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        peer.send(bytes: [2, 0, 0, 0])
        #expect(host.results()["B"]?.message?.contains("it sent an event of 33554432 bytes") == true)
        host.link.finish(because: "it has ended")
    }

    /// It would block for ever, with no patience at all it is known at once.
    @Test func whoTakesNothingIsGone() throws {
        let meeting = try Meeting(["A", "B", "C"])
        let host = try meeting.host(patience: 0)
        let (peer, other) = (try meeting.peer("B"), try meeting.peer("C"))
        #expect(peer.receive() == #"{"welcome":{}}"#)
        #expect(other.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        // Loopback keeps less, and C reads none of what is for B.
        let value = LuaValue.bytes([UInt8](repeating: 7, count: 15 << 20))
        try host.link.roles.post(value, from: "A", to: "B", at: 0)
        #expect(peer.isCut())
        other.close()
        let results = host.results()
        #expect(results["A"]?.verdict == .pass)
        for role in ["B", "C"] {
            #expect(results[role]?.error?.kind == .peer)
            #expect(
                results[role]?.message?.contains("is gone: it took nothing of what it was sent for 0 s") == true,
                "\(results[role]?.message ?? "")")
        }
        host.link.finish(because: "it has ended")
    }

    @Test func whoReadsSlowlyIsWaitedFor() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let connection = Connection(ends[0])
        let reader = Peer(ends[1])
        let value = LuaValue.bytes([UInt8](repeating: 7, count: 4 << 20))
        let event = RoleEvent.post(value: SentValue(value), from: "A", to: "B", index: 0)
        let sent = Mutex(false)
        let thread = startThread { sent.withLock { $0 = connection.send(event) == .sent } }
        #expect(reader.receive()?.utf8.count == event.json?.count)
        if let thread { pthread_join(thread, nil) }
        #expect(sent.withLock { $0 })
    }

    @Test func theFirstRoleDoesNotSpeakForThisOne() throws {
        let meeting = try Meeting(["A", "B", "C"])
        let listener = try meeting.place.address.listen()
        let role = try Running(meeting.link("B"))
        let host = Peer(accept(listener, nil, nil))
        close(listener)
        host.send(#"{"welcome":{}}"#)
        #expect(role.met()?.message == nil)
        host.send(Self.end("C"))
        host.send(Self.end("B", "skip"))
        shutdown(host.descriptor, Int32(SHUT_WR))
        let table = role.link.roles
        table.end("B", CaseResult(name: "one", verdict: .fail, duration_ns: 1), at: 0)
        while table.results(of: "one", at: 0) == nil { table.pause() }
        let results = table.results(of: "one", at: 0) ?? [:]
        #expect(results["B"]?.verdict == .fail)
        #expect(results["C"]?.verdict == .pass)
        #expect(results["A"]?.message?.contains("it spoke for role 'B'") == true)
        role.link.finish(because: "it has ended")
    }

    @Test func whatARoleFirstSaidOfACaseStays() throws {
        let meeting = try Meeting()
        let host = try meeting.host()
        let peer = try meeting.peer("B")
        #expect(peer.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        peer.send(Self.end("B", "fail"))
        peer.send(Self.end("B"))
        peer.close()
        // All that it sent has been read once it is gone.
        #expect(host.results(1)["B"]?.message?.contains("is gone") == true)
        #expect(host.results()["B"]?.verdict == .fail)
        host.link.finish(because: "it has ended")
    }

    @Test func aPeersInterruptionIsAFailure() throws {
        let meeting = try Meeting()
        let host = try meeting.host()
        let peer = try meeting.peer("B")
        #expect(peer.receive() == #"{"welcome":{}}"#)
        #expect(host.met()?.message == nil)
        peer.send(Self.end("B", "interrupted"))
        let all = host.results()
        let leader = try #require(all["A"])
        let merged = CaseResult.merged(all, meeting.roles, leader: leader)
        #expect(merged.verdict == .fail)
        #expect(merged.error?.kind == .peer)
        #expect(merged.message?.contains("role 'B' was interrupted") == true)
        peer.close()
        host.link.finish(because: "it has ended")
    }
}

/// What one thread waits for and another says.
private final class Flag: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func raise() { sem_post(semaphore) }

    func wait() { while sem_wait(semaphore) != 0 {} }
}

/// What a role has noted, in a thread of its own.
private final class Notes: @unchecked Sendable {
    private let lock = Mutex<[String]>([])
    private var kept: [AnyObject] = []
    func add(_ note: String) { lock.withLock { $0.append(note) } }
    func keep(_ peer: AnyObject) { kept.append(peer) }
    var all: [String] { lock.withLock { $0 } }
}
