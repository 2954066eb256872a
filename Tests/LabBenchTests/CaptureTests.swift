import Glibc
import Kernel
import Synchronization
import Testing

@testable import LabBench

/// What the lab's served functions sent, from their process to a program of the guest: either may be hostile to the other.
@Suite struct CaptureTests {
    private static let bar: UInt64 = 0xfe00_0000
    private static let exporter: UInt32 = 0x1af4_1110

    private static func request(
        _ number: UInt64, hint: TLP.Hint? = nil, target: CapturedTLP.Target? = nil
    ) -> CapturedTLP {
        var request = TLP(isWrite: true, requester: 0, address: 0x1_0000_0000 + number, length: 128, hint: hint)
        request.time = number
        return CapturedTLP(request, requester: bar, target: target)
    }

    private static func ring(_ count: UInt64, capacity: Int) -> CaptureRing {
        let ring = CaptureRing(capacity: capacity)
        for number in 0..<count { ring.add(request(number)) }
        return ring
    }

    private static func bytes(_ request: CapturedTLP) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xa5, count: CapturedTLP.size)
        bytes.withUnsafeMutableBytes { request.store(in: $0) }
        return bytes
    }

    private static func decoded(_ bytes: [UInt8]) -> CapturedTLP? { bytes.withUnsafeBytes { CapturedTLP($0) } }

    // MARK: The format

    @Test func aRequestIsReadAsItWasWritten() {
        var read = TLP(isWrite: false, requester: 0, address: .max, length: 4096)
        read.isRelaxed = true
        read.mode = .flit
        let all = [
            Self.request(7), CapturedTLP(read, requester: 0, target: nil),
            Self.request(8, hint: TLP.Hint(tag: 0x1234, isExtended: true, ph: 3)),
            Self.request(
                .max >> 1, hint: TLP.Hint(tag: 0x42, ph: 2),
                target: CapturedTLP.Target(identity: Self.exporter, region: 5, offset: 0xffff_ffff_ffff)),
        ]
        for one in all { #expect(Self.decoded(Self.bytes(one)) == one) }
    }

    /// Each byte as it may not be.
    @Test(
        arguments: [
            (32, [0, 0, 0, 0]), (32, [1, 16, 0, 0]), (32, [255, 255, 255, 255]), (42, [32]), (42, [255]), (43, [4]),
            (44, [6]),
            (45, [2]), (46, [1]), (47, [1]),
            // A tag, a hint, a namespace without a hint; an identity, a BAR, an offset without a target.
            (40, [1, 0]), (43, [1]), (42, [5]), (36, [1, 0, 0, 0]), (44, [1]), (24, [1]),
        ] as [(Int, [UInt8])])
    func whatIsNoRequestIsNone(_ place: Int, _ wrong: [UInt8]) {
        var bytes = Self.bytes(Self.request(1))
        bytes.replaceSubrange(place..<place + wrong.count, with: wrong)
        #expect(Self.decoded(bytes) == nil)
        #expect(Self.decoded(Array(bytes.dropLast())) == nil)
    }

    @Test func aQuestionIsReadAsItWasWritten() {
        let question = CaptureQuestion(mark: .max, first: 1 << 40, count: 3)
        #expect(CaptureQuestion(question.bytes) == question)
        for place in [0, 7, 28, 31] {
            var bytes = question.bytes
            bytes[place] ^= 1
            #expect(CaptureQuestion(bytes) == nil)
        }
        #expect(CaptureQuestion(question.bytes + [0]) == nil)
        #expect(CaptureQuestion([]) == nil)
    }

    // MARK: The ring

    private func answer(
        _ ring: CaptureRing, _ first: UInt64, _ count: UInt32, left: [UInt8] = [], by step: Int = .max
    ) throws -> CaptureAnswer {
        let question = CaptureQuestion(mark: 0x0102_0304_0506_0708, first: first, count: count)
        var reader = CaptureReader(question)
        let bytes = left + ring.answer(question)
        var answer: CaptureAnswer?
        for start in stride(from: 0, to: bytes.count, by: min(step, bytes.count)) {
            #expect(answer == nil)
            answer = try reader.read(bytes[start..<min(bytes.count, start + min(step, bytes.count))])
        }
        return try #require(answer)
    }

    @Test func theNewestAreKeptAndTheOthersCounted() throws {
        let ring = Self.ring(10, capacity: 4)
        let answer = try answer(ring, 3, 100)
        #expect(answer.end == 10 && answer.first == 6)
        #expect(answer.requests.map(\.request.time) == [6, 7, 8, 9])
        #expect(try self.answer(ring, 7, 2).requests.map(\.request.time) == [7, 8])
        #expect(try self.answer(ring, 0, 0) == CaptureAnswer(end: 10, first: 6, requests: []))
        // Beyond what there is.
        for first in [10, 11, UInt64.max] {
            #expect(try self.answer(ring, first, .max) == CaptureAnswer(end: 10, first: 10, requests: []))
        }
        #expect(try self.answer(CaptureRing(capacity: 0), 0, 9) == CaptureAnswer(end: 0, first: 0, requests: []))
    }

    @Test func anAnswerHasALimit() throws {
        let ring = Self.ring(3000, capacity: 4096)
        #expect(try answer(ring, 0, .max).requests.count == 1024)
    }

    // MARK: The guest's reader

    @Test(arguments: [1, 7, 8, 31, 33, 4096])
    func anAnswerComesWholeHoweverItsBytesCome(_ step: Int) throws {
        let ring = Self.ring(5, capacity: 8)
        #expect(try answer(ring, 1, 3, by: step).requests.map(\.request.time) == [1, 2, 3])
        // Behind the rest of another one's answer.
        let left = Array(ring.answer(CaptureQuestion(mark: 99, first: 0, count: 5)).dropFirst(11))
        #expect(try answer(ring, 1, 3, left: left, by: step).requests.map(\.request.time) == [1, 2, 3])
    }

    private static let asked = CaptureQuestion(mark: 0x1122_3344_5566_7788, first: 5, count: 2)

    private func refusal(_ bytes: [UInt8]) -> CaptureReader.Refusal? {
        var reader = CaptureReader(Self.asked)
        do throws(CaptureReader.Refusal) {
            for start in stride(from: 0, to: bytes.count, by: 4096) {
                if try reader.read(bytes[start..<min(start + 4096, bytes.count)]) != nil { return nil }
                #expect(reader.pendingCount < 2 * CaptureReader.mostLeft)
            }
        } catch { return error }
        return nil
    }

    private static func header(end: UInt64, first: UInt64, count: Int) -> [UInt8] {
        CaptureAnswer.bytes(to: asked, end: end, first: first, count: count, [])
    }

    @Test func whatIsNoAnswerIsRefused() {
        // More than was asked for, older than was asked for, beyond the end, and numbers that wrap.
        let wrong = [
            Self.header(end: 100, first: 5, count: 3), Self.header(end: 100, first: 4, count: 1),
            Self.header(end: 5, first: 5, count: 1), Self.header(end: 5, first: 6, count: 0),
            Self.header(end: 4, first: .max, count: 1), Self.header(end: .max, first: .max, count: 2),
            Self.header(end: 100, first: 5, count: .max),
        ]
        for bytes in wrong { #expect(refusal(bytes) == .header) }
        var rest = Self.header(end: 100, first: 5, count: 1)
        rest[31] = 1
        #expect(refusal(rest) == .header)
        #expect(refusal(Self.header(end: 7, first: 5, count: 1) + [UInt8](repeating: 255, count: 48)) == .request(5))
        #expect(
            refusal(
                Self.header(end: 7, first: 5, count: 2) + Self.bytes(Self.request(5))
                    + [UInt8](repeating: 0, count: 48)) == .request(6))
    }

    @Test func anEndlessAnswerIsRefused() {
        #expect(refusal([UInt8](repeating: 0x88, count: 10 * CaptureReader.mostLeft)) == .noAnswer)
        #expect(refusal([UInt8](repeating: 0, count: CaptureReader.mostLeft / 2)) == nil)
    }

    // MARK: Names

    private static let functions = GuestFunctions([
        .init(address: "0000:04:00.0", identity: 0x15b3_101d, bars: [bar, 0, 0, 0, 0, 0]),
        .init(address: "0000:05:00.0", identity: 0x15b3_101d, bars: [0xfd00_0000, 0, 0, 0, 0, 0]),
        .init(address: "0000:01:00.0", identity: exporter, bars: [0xfc00_0000, 0, 0xf000_0000, 0, 0, 0]),
        .init(address: "0000:02:00.0", identity: 1, bars: []),
        .init(address: "0000:03:00.0", identity: 2, bars: [0]),
    ])

    @Test func aRequestNamesWhoSentItAndWhomItIsFor() throws {
        var captured = Self.request(1, target: .init(identity: Self.exporter, region: 2, offset: 64))
        var named = try #require(Self.functions.named(captured))
        #expect(named.requesterAddress == "0000:04:00.0" && named.requester == 0x0400)
        #expect(named.target == TLP.Target(function: "0000:01:00.0", region: 2, offset: 64))
        captured.requester = 0xfd00_0000
        captured.target = nil
        named = try #require(Self.functions.named(captured))
        #expect(named.requesterAddress == "0000:05:00.0" && named.target == nil)
        // Of nobody, of one without a BAR, for nobody, for one of two.
        captured.requester = 1
        #expect(Self.functions.named(captured) == nil)
        captured.requester = 0
        #expect(Self.functions.named(captured) == nil)
        for identity in [9, 0x15b3_101d] as [UInt32] {
            let target = CapturedTLP.Target(identity: identity, region: 0, offset: 0)
            #expect(Self.functions.named(Self.request(1, target: target)) == nil)
        }
    }

    // MARK: Both ends

    /// A guest's end, and the process of devices at the other.
    private func pair(
        _ ring: CaptureRing, look: @escaping @Sendable () -> GuestFunctions = { Self.functions }
    ) throws -> GuestCapture {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        // A thread of its own, as it waits; it ends with the guest's end.
        let served = Unmanaged.passRetained(CaptureSocket(ends[1], ring))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { socket in
                guard let socket else { return nil }
                let served = Unmanaged<CaptureSocket>.fromOpaque(socket).takeRetainedValue()
                var polled = pollfd(fd: served.descriptor, events: served.events, revents: 0)
                while poll(&polled, 1, -1) >= 0, served.serve() { polled.events = served.events }
                return nil
            }, served.toOpaque())
        try #require(result == 0)
        pthread_detach(thread)
        return GuestCapture(port: ends[0], look: look)
    }

    private final class Told: @unchecked Sendable {
        var times: [UInt64] = []
        var lost = 0
    }

    @Test func theLogHasWhatWasSentSinceItWasEmptied() throws {
        let ring = Self.ring(2500, capacity: 4096)
        let capture = try pair(ring)
        #expect(try capture.log().requests.map(\.time) == Array(0..<2500))
        try capture.clear()
        #expect(try capture.log().requests.isEmpty)
        ring.add(Self.request(2500))
        try capture.clear()
        ring.add(Self.request(2501))
        #expect(try capture.log().requests.map(\.time) == [2501])
        #expect(try capture.log().requests.map(\.time) == [2501])
    }

    @Test func whatWasLostIsCountedAndWhatWasSeenIsTold() throws {
        let ring = Self.ring(10, capacity: 4)
        let capture = try pair(ring)
        let told = Told()
        capture.watch {
            told.times.append($0.time)
        } lost: {
            told.lost += $0
        }
        let log = try capture.log()
        #expect(log.lost == 6 && log.requests.map(\.time) == [6, 7, 8, 9])
        #expect(told.times == [6, 7, 8, 9] && told.lost == 6)
        // Emptying the log hides nothing from who watches.
        ring.add(Self.request(10))
        try capture.clear()
        #expect(told.times.last == 10)
        #expect(try capture.log().lost == 0)
    }

    @Test func aDeviceThatGoesIsSaid() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        signal(SIGPIPE, SIG_IGN)
        close(ends[1])
        let capture = GuestCapture(port: ends[0]) { Self.functions }
        let failure = #expect(throws: Failure.self) { try capture.log() }
        #expect(failure?.errno.name == "EPIPE")
        // Nothing is asked again.
        #expect(throws: Failure.self) { try capture.clear() }
    }

    @Test func aRequestOfNobodyIsSaid() throws {
        let ring = CaptureRing(capacity: 4)
        ring.add(CapturedTLP(TLP(isWrite: true, requester: 0, address: 0, length: 4), requester: 5, target: nil))
        let failure = #expect(throws: Failure.self) { try pair(ring).log() }
        #expect(failure?.errno.name == "EPROTO")
    }

    /// As a rescan of the guest's bus may do.
    @Test func aBARThatMovesKeepsItsName() throws {
        let ring = CaptureRing(capacity: 4)
        let before: UInt64 = 0xe000_0000, after: UInt64 = 0xe800_0000
        for place in [before, after] {
            ring.add(
                CapturedTLP(TLP(isWrite: true, requester: 0, address: 0, length: 4), requester: place, target: nil))
        }
        let places = Mutex([after, before])
        let capture = try pair(ring) {
            let bar = places.withLock { $0.popLast() } ?? 0
            return GuestFunctions([.init(address: "0000:04:00.0", identity: 1, bars: [bar])])
        }
        #expect(try capture.log().requests.map(\.requesterAddress) == ["0000:04:00.0", "0000:04:00.0"])
    }

    /// What a hostile guest sends ends its port, and what it does not read is not kept for it.
    @Test func aHostileGuestIsNotServed() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { close(ends[0]) }
        let socket = CaptureSocket(ends[1], Self.ring(1024, capacity: 1024))
        let question = CaptureQuestion(mark: 1, first: 0, count: .max).bytes
        func send(_ bytes: [UInt8]) { #expect(write(ends[0], bytes, bytes.count) == bytes.count) }
        #expect(socket.serve() && socket.events == Int16(POLLIN))
        send(Array(question[..<20]))
        #expect(socket.serve() && socket.events == Int16(POLLIN))
        // Until nothing more goes out, questions wait; then no answer is made for them.
        send(Array(question[20...]))
        var asked = 0
        while socket.serve(), socket.events == Int16(POLLIN) {
            asked += 1
            send(question)
        }
        #expect(asked > 0 && socket.events == Int16(POLLOUT))
        send(question)
        #expect(socket.serve() && socket.events == Int16(POLLOUT))
        // What it reads makes room.
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while socket.events == Int16(POLLOUT) {
            #expect(read(ends[0], &buffer, buffer.count) > 0)
            #expect(socket.serve())
        }
        while recv(ends[0], &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 {}
        send([UInt8](repeating: 7, count: 64))
        var turns = 0
        while socket.serve(), turns < 8 { turns += 1; _ = recv(ends[0], &buffer, buffer.count, Int32(MSG_DONTWAIT)) }
        #expect(turns < 8)
    }
}
