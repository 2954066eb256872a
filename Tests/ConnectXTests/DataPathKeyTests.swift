import Testing
import VFIOUser

@testable import ConnectX

/// Memory keys: translations, UMR, windows, page faults.
@Suite struct DataPathKeyTests {
    let nic = DataPathDouble()

    typealias Piece = PairDouble.Piece
    typealias Context = MemoryKeyContext

    private func refusal(
        _ key: UInt32, _ address: Int, _ length: Int, _ access: AccessRights = .remoteWrite, pair: UInt32 = 1
    ) -> AccessFailure? {
        let reference = MemoryReference(key: key, access: access, domain: DataPathDouble.domain, queuePair: pair)
        do throws(AccessFailure) { _ = try nic.path.keys.span(reference, at: UInt64(address), length) } catch {
            return error
        }
        return nil
    }

    private func span(_ key: UInt32, _ address: Int, _ length: Int, _ access: AccessRights = .remoteWrite) throws
        -> Span
    {
        let reference = MemoryReference(key: key, access: access, domain: DataPathDouble.domain, queuePair: 1)
        return try nic.path.keys.span(reference, at: UInt64(bitPattern: Int64(address)), length)
    }

    @Test func pagesInARowAreOnePiece() throws {
        let key = try nic.key(
            nic.keyContext(start: 0x1234, length: 0x5000, entries: 6),
            [0x8000, 0x9000, 0xa000, 0x20000, 0x21000, 0x3000])
        let first = try span(key, 0x1234, 0x5000)
        #expect(first.address == 0x8234 && first.length == 0x3000 - 0x234)
        let next = try span(key, 0x4000, 0x1800)
        #expect(next.address == 0x20000 && next.length == 0x1800)
        #expect(refusal(key, 0x1233, 1) != nil && refusal(key, 0x1234, 0x5001) != nil && refusal(key, 0x6234, 1) != nil)
    }

    @Test func aKeyByPhysicalAddresses() throws {
        let key = try nic.key(nic.keyContext(mode: 0, start: 0, length: 0) { $0[flag: Context.length64] = true })
        let all = try span(key, -4096, 8192)
        #expect(all.address == UInt64.max - 4095 && all.length == 8192)
    }

    @Test func listsOfKeys() throws {
        var memory = nic.room(0x4000)
        let inner = try nic.key(memory, 0x4000)
        let words = [
            UInt64(5) << 32 | UInt64(inner), UInt64(memory + 100), 0, 0, UInt64(0x1000) << 32 | UInt64(inner),
            UInt64(memory + 0x2000),
        ]
        let outer = try nic.key(nic.keyContext(mode: 2, start: 0, length: 0x1005, entries: 6), words)
        let first = try span(outer, 0, 0x1005)
        #expect(first.address == UInt64(memory + 100) && first.length == 5)
        let second = try span(outer, 5, 0x1000)
        #expect(second.address == UInt64(memory + 0x2000) && second.length == 0x1000)
        #expect(refusal(outer, 0x1005, 1) != nil)
        // Four above the last are allowed; a key that names itself ends.
        var key = inner
        for depth in 1...6 {
            key = try nic.key(
                nic.keyContext(mode: 3, start: 0, length: 0x1000, pageShift: 12, entries: 2),
                [UInt64(key), UInt64(memory)])
            #expect((refusal(key, 0, 16) == nil) == (depth <= 4))
            // What names this one does so by its address 0.
            if depth > 0 { memory = 0 }
        }
        let own = try nic.key(nic.keyContext(mode: 3, start: 0, length: 0x1000, entries: 2))
        let loop = try nic.key(nic.keyContext(mode: 3, start: 0, length: 0x1000, entries: 2), [UInt64(own) + 0x100, 0])
        #expect(refusal(loop, 0, 16) != nil)
    }

    @Test func contextsThatAreNone() throws {
        #expect(throws: CommandFailure.self) { try nic.key(nic.keyContext(mode: 9, start: 0, length: 0)) }
        #expect(throws: CommandFailure.self) {
            try nic.key(nic.keyContext(start: 0, length: 0, entries: 2), Array(repeating: 0, count: 9))
        }
        let odd = try nic.key(nic.keyContext(start: 0, length: .max, pageShift: 63, entries: 1), [1])
        #expect(try span(odd, 100, 1).length == 1)
        let none = try nic.key(nic.keyContext(start: 0, length: .max, pageShift: 0, entries: 1), [1])
        #expect(refusal(none, 100, 1) != nil)
        #expect(throws: CommandFailure.self) { try nic.path.keys.destroy(12345) }
    }

    // MARK: UMR

    /// An UMR request: flags, mask, the new context, inline translations or those at an address.
    private func umr(
        flags: UInt8, mask: UInt64, _ context: [UInt8], count: UInt16 = 0, offset: UInt64 = 0, _ more: [UInt8] = []
    ) -> [UInt8] {
        var control = [flags, 0, 0, 0] + PairDouble.big(count) + PairDouble.big(UInt16(truncatingIfNeeded: offset))
        control +=
            PairDouble.big(mask) + PairDouble.big(UInt32(truncatingIfNeeded: offset >> 16))
            + [UInt8](repeating: 0, count: 28)
        return control + context + more
    }

    private func registrar() throws -> (PairDouble, UInt32) {
        let pair = try PairDouble(nic, .registration, sendLog: 6, domain: 3) { $0[QueuePairContext.rqType] = 3 }
        try pair.connect(nil)
        let all = try nic.key(
            nic.keyContext(mode: 0, access: [.localRead, .localWrite], start: 0, length: 0, domain: 3) {
                $0[flag: Context.length64] = true
            })
        return (pair, all)
    }

    private static let registration: UInt64 = 0x8000_221e_20c3

    /// What a driver does: takes a free key, registers, is asked to let go, maps again, and gives it back.
    @Test func aKeyIsRegisteredRevokedAndGivenBack() throws {
        let (pair, all) = try registrar()
        let list = nic.room(4096)
        let memory = nic.room(0x8000)
        let free = nic.keyContext(access: [], start: 0, length: 0, entries: 8, domain: 3, variant: 0) {
            $0[Context.free] = 1
            $0[Context.umrEn] = 1
        }
        let index = try nic.key(free) >> 8
        nic.bus.poke(list, nic.big((0..<8).map { UInt64(memory + $0 * 4096) | 3 }))
        let new = nic.keyContext(
            access: [.localRead, .localWrite, .remoteRead, .remoteWrite], start: 0x7000_0000, length: 0x8000,
            variant: 0x55)
        let data = Piece(address: list, length: 64, key: all).bytes
        let register = umr(flags: 0x30, mask: Self.registration | 1 << 29, new, count: 4, data)
        pair.post(.umr, register, immediate: index << 8)
        #expect(pair.sent().map(\.opcode) == [0])
        let key = index << 8 | 0x55
        #expect(try span(key, 0x7000_0000, 0x8000).length == 0x8000)
        // Not while it is in use.
        pair.post(.umr, register, immediate: index << 8)
        #expect(pair.sent().map(\.syndrome) == [6] && pair.pair?.state == .error)
        try pair.modify(.toReset)
        (pair.posted, pair.receives) = (0, 0)
        try pair.connect(nil)
        // Revoked: an access waits for a page fault.
        nic.bus.poke(list, [UInt8](repeating: 0, count: 64))
        pair.post(.umr, umr(flags: 0x50, mask: 0, [UInt8](repeating: 0, count: 64), count: 4, data), immediate: key)
        #expect(pair.sent().map(\.opcode) == [0])
        guard case .absent(key, 0x7000_1000, 0x2000)? = refusal(key, 0x7000_1000, 0x2000) else {
            Issue.record("no page fault")
            return
        }
        // One page for reading alone, by the offset.
        nic.bus.poke(list, nic.big([UInt64(memory) | 3, UInt64(memory) | 1]))
        pair.post(
            .umr, umr(flags: 0x50, mask: 0, new, count: 1, offset: 1, Piece(address: list, length: 16, key: all).bytes),
            immediate: key)
        #expect(pair.sent().map(\.opcode) == [0])
        #expect(try span(key, 0x7000_3000, 8, .remoteRead).address == UInt64(memory))
        #expect(refusal(key, 0x7000_3000, 8, .remoteWrite) != nil && refusal(key, 0x7000_2000, 8, .remoteWrite) == nil)
        // Given back.
        pair.post(.umr, umr(flags: 0x80, mask: 1 << 29 | 1 << 7, free), immediate: key)
        #expect(pair.sent().map(\.opcode) == [0])
        #expect(nic.path.keys[index]?.isFree == true && nic.path.keys[index]?.domain == 3)
        guard case .refused? = refusal(key, 0x7000_0000, 8) else {
            Issue.record("a free key is accessed")
            return
        }
    }

    @Test func whoHasALongListAddedUpPaysForIt() throws {
        let count = 4096
        let inner = try nic.key(nic.room(0x1000), 0x1000)
        let outer = try nic.key(
            nic.keyContext(mode: 2, start: 0, length: count * 8, entries: count * 2),
            (0..<count).flatMap { _ in [UInt64(8) << 32 | UInt64(inner), 0x10_0000] })
        _ = try? span(outer, 0, 8)
        #expect(nic.path.keys.takeDebt() >= count * 8)
        _ = try? span(outer, 800, 8)
        #expect(nic.path.keys.takeDebt() == 0)
        // An entry that changes has it done again; a request that is nothing else pays.
        let key = try #require(nic.path.keys[outer >> 8])
        #expect(nic.big([UInt64(8) << 32]).withUnsafeBytes { nic.path.keys.write($0, to: key, at: 0) })
        _ = try? span(outer, 0, 8)
        let pair = try PairDouble(nic)
        try pair.connect(nil)
        pair.post(.nop, [])
        #expect(nic.path.keys.takeDebt() == 0)
    }

    @Test func keysTakeMemoryThatHasALimit() throws {
        let table = MemoryKeyTable(limit: 1 << 20, memory: 1000)
        func create(_ words: Int) throws -> Int {
            let context = nic.keyContext(start: 0, length: 4096, entries: words)
            return try [UInt8](repeating: 0, count: words * 8).withUnsafeBytes { list in
                try context.withUnsafeBytes { try table.create($0, translations: list, isPageable: false) }
            }
        }
        var keys = try (0..<15).map { _ in try create(0) }
        #expect(throws: CommandFailure.self) { _ = try create(0) }
        try table.destroy(keys.removeLast())
        #expect(throws: CommandFailure.self) { _ = try create(48) }
        keys.append(try create(40))
        #expect(throws: CommandFailure.self) { _ = try create(0) }
        for key in keys { try table.destroy(key) }
        #expect(throws: Never.self) { _ = try create(900) }
    }

    @Test func umrRequestsThatAreRefused() throws {
        let (pair, all) = try registrar()
        func end(_ body: [UInt8], _ key: UInt32) throws -> [UInt8] {
            pair.post(.umr, body, immediate: key)
            let end = pair.sent().map(\.syndrome)
            try pair.modify(.toReset)
            pair.posted = 0
            try pair.connect(nil)
            return end
        }
        let zeros = [UInt8](repeating: 0, count: 64)
        let key = try nic.key(nic.keyContext(start: 0, length: 4096, entries: 8) { $0[Context.umrEn] = 1 })
        let fixed = try nic.key(nic.keyContext(start: 0, length: 4096, entries: 8))
        #expect(try end(umr(flags: 0, mask: 0, zeros), 0xff_0000) == [6])
        #expect(try end(umr(flags: 0, mask: 0, zeros), fixed) == [6])
        #expect(try end(umr(flags: 0x20, mask: 0, zeros), key) == [6])
        #expect(try end(Array(umr(flags: 0, mask: 0, zeros).dropLast(16)), key) == [2])
        #expect(try end(umr(flags: 0x80, mask: 0, zeros, count: 200, zeros), key) == [2])
        #expect(try end(umr(flags: 0x90, mask: 0, zeros, count: 4, offset: 4, zeros), key) == [6])
        #expect(try end(umr(flags: 0x90, mask: 0, zeros, count: 4, offset: 1 << 47, zeros), key) == [6])
        #expect(
            try end(umr(flags: 0, mask: 0, zeros, count: 4, Piece(address: 0, length: 64, key: all + 1).bytes), key)
                == [4])
        #expect(
            try end(
                umr(flags: 0, mask: 0, zeros, count: 4, Piece(address: 0xfff_0000, length: 64, key: all).bytes), key)
                == [4])
        // A user's queue pair: keys of its own domain alone, and none leaves it.
        let (user, _) = try PairDouble.connected(nic, nic)
        let other = try nic.key(nic.keyContext(start: 0, length: 4096, domain: 9) { $0[Context.umrEn] = 1 })
        user.post(.umr, umr(flags: 0x80, mask: 0, zeros), immediate: other)
        #expect(user.sent().map(\.syndrome) == [6])
        let (another, _) = try PairDouble.connected(nic, nic)
        another.post(.umr, umr(flags: 0x80, mask: 1 << 7, zeros), immediate: key)
        #expect(another.sent().map(\.syndrome) == [6])
    }

    @Test func windowsAreBoundAndInvalidated() throws {
        let (a, b) = try PairDouble.connected(nic, nic)
        let memory = nic.room(0x2000)
        let region = try nic.key(memory, 0x2000, [.localRead, .localWrite])
        let window = try nic.key(
            nic.keyContext(mode: 2, access: .localRead, start: 0, length: 0, entries: 8, variant: 0) {
                $0[Context.free] = 1
                $0[Context.umrEn] = 1
                $0[Context.enRinval] = 1
            })
        let mask: UInt64 = 1 << 29 | 1 << 13 | 1 << 14 | 1 | 1 << 6 | 0xf << 18
        let bound = nic.keyContext(
            access: [.remoteRead, .remoteWrite], start: memory + 0x800, length: 0x100, variant: 9
        ) { $0[Context.qpn] = UInt64(b.number) }
        let list = nic.big([UInt64(0x100) << 32 | UInt64(region), UInt64(memory + 0x800), 0, 0, 0, 0, 0, 0])
        b.post(.umr, umr(flags: 0xb0, mask: mask, bound, count: 4, list), immediate: window)
        #expect(b.sent().map(\.opcode) == [0])
        let key = window | 9
        a.post(.write, PairDouble.body(remote: (memory + 0x8ff, key), PairDouble.inline([0x77])))
        #expect(a.sent().map(\.opcode) == [0] && nic.bus.peek(memory + 0x8ff, 1) == [0x77])
        // Only by the queue pair to which it is bound; and only once.
        #expect(
            refusal(key, memory + 0x800, 1, pair: a.number) != nil
                && refusal(key, memory + 0x800, 1, pair: b.number) == nil)
        b.receive([Piece(address: memory, length: 8, key: region)])
        a.post(.sendInvalidate, PairDouble.inline([1]), immediate: key)
        #expect(a.sent().map(\.opcode) == [0])
        let end = b.received()
        #expect(end.map(\.opcode) == [4] && end.first?.immediate == key)
        #expect(nic.path.keys[key >> 8]?.isFree == true)
        b.receive([Piece(address: memory, length: 8, key: region)])
        a.post(.sendInvalidate, PairDouble.inline([1]), immediate: key)
        #expect(a.sent().map(\.syndrome) == [0x13])
        #expect(b.received().map(\.syndrome) == [0x13])
    }

    // MARK: Page faults

    @Test(arguments: [false, true], [WorkRequestOpcode.write, .read, .send])
    func aRequestWaitsForPages(_ isError: Bool, _ opcode: WorkRequestOpcode) throws {
        let fabric = Fabric()
        let (left, right) = (DataPathDouble(fabric: fabric, lid: 1), DataPathDouble(fabric: fabric, lid: 2))
        let (a, b) = try PairDouble.connected(left, right)
        let source = left.room(0x3_0000)
        left.fill(source, 0x3_0000)
        let local = try left.key(source, 0x3_0000)
        let target = right.room(0x3_0000)
        // The last of 48 pages is not there.
        let pages = (0..<48).map { UInt64(target + $0 * 4096) | 3 }
        let remote = try right.key(
            right.keyContext(start: 0x4000_0000, length: 0x3_0000, entries: 48), Array(pages.dropLast()),
            isPageable: true)
        if opcode == .send { b.receive([Piece(address: 0x4000_0000, length: 0x3_0000, key: remote)]) }
        let to: (Int, UInt32)? = opcode == .send ? nil : (0x4000_0000, remote)
        a.write(
            opcode.rawValue, PairDouble.body(remote: to, [], [Piece(address: source, length: 0x3_0000, key: local)]))
        a.write(0, [])
        a.ring()
        left.run()
        #expect(a.sent().isEmpty && left.events.faults.isEmpty && right.events.faults.count == 1)
        guard let fault = right.events.faults.first else { return }
        #expect(fault.key == remote && fault.address == 0x4002_f000 && fault.pages == 1)
        left.wait(10_000_000_000)
        #expect(a.sent().isEmpty && right.events.faults.count == 1)
        #expect(throws: CommandFailure.self) { try right.path.resume(token: fault.token + 1, isError: false) }
        if !isError {
            let words = right.big([UInt64(target + 47 * 4096) | 3])
            words.withUnsafeBytes { words in
                guard let key = right.path.keys[remote >> 8] else { return }
                #expect(right.path.keys.write(words, to: key, at: 47))
            }
        }
        try right.path.resume(token: fault.token, isError: isError)
        left.run()
        if isError {
            #expect(a.sent().map(\.syndrome) == [0x14, 5])
            #expect(b.pair?.state == .error)
            #expect(b.received().map(\.syndrome) == (opcode == .send ? [4] : []))
        } else {
            #expect(a.sent().map(\.opcode) == [0, 0])
            if opcode != .read { #expect(right.bus.peek(target, 0x3_0000) == left.bus.peek(source, 0x3_0000)) }
        }
        #expect(throws: CommandFailure.self) { try right.path.resume(token: fault.token, isError: false) }
    }

    @Test func aLocalPageFault() throws {
        let (a, _) = try PairDouble.connected(nic, nic)
        let memory = nic.room(4096)
        let remote = try nic.key(memory, 4096)
        let local = try nic.key(nic.keyContext(start: 0, length: 4096, entries: 1), [], isPageable: true)
        let body = PairDouble.body(remote: (memory, remote), [], [Piece(address: 8, length: 8, key: local)])
        a.post(.write, body)
        #expect(nic.events.faults.map(\.key) == [local])
        // Reset meanwhile: the resume is nobody's.
        try a.modify(.toReset)
        try nic.path.resume(token: nic.events.faults[0].token, isError: true)
        (a.posted, a.receives) = (0, 0)
        try a.connect(a)
        nic.events.takesFaults = false
        a.post(.write, body)
        #expect(a.sent().map(\.syndrome) == [4])
    }

    @Test func aDatagramWaitsForItsPages() throws {
        let (left, right) = (try PairDouble(nic, .datagram), try PairDouble(nic, .datagram))
        for pair in [left, right] { try pair.connect(nil) }
        let memory = nic.room(4096)
        nic.fill(memory, 64)
        let target = try nic.key(memory, 4096)
        right.receive([Piece(address: memory + 1024, length: 128, key: target)])
        let key = try nic.key(nic.keyContext(start: 0, length: 4096, entries: 1), [0], isPageable: true)
        left.post(.send, PairDouble.vector(right) + Piece(address: 0, length: 64, key: key).bytes)
        #expect(nic.events.faults.map(\.key) == [key] && left.sent().isEmpty && right.received().isEmpty)
        let entry = nic.big([UInt64(memory) | 3])
        #expect(try #require(nic.path.keys[key >> 8]).room > 0)
        let isWritten = entry.withUnsafeBytes { words in
            nic.path.keys[key >> 8].map { nic.path.keys.write(words, to: $0, at: 0) }
        }
        #expect(isWritten == true)
        try nic.path.resume(token: nic.events.faults[0].token, isError: false)
        nic.run()
        #expect(left.sent().map(\.opcode) == [0] && right.received().map(\.opcode) == [2])
        #expect(nic.bus.peek(memory + 1024 + 40, 64) == nic.bus.peek(memory, 64))
    }

    @Test func aPageFaultsEntry() {
        var data = [UInt8](repeating: 0, count: 28)
        data.withUnsafeMutableBytes {
            PageFault(token: 0x1234_5678_9abc, key: 0x1122_3344, address: 0x7f00_0000_1fff, length: 2).fill($0)
        }
        #expect(
            data == [
                0x80, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0, 0, 0x20, 0, 0x11, 0x22, 0x33, 0x44, 0, 0,
                0x7f, 0, 0, 0, 0x10, 0,
            ])
    }
}
