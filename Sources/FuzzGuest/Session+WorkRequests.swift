import ConnectX
import SeededRandom

/// Work requests of each opcode, and what is wrong with them.
extension Session {
    private static let opcodes: [UInt8] = [
        0, 1, 8, 8, 8, 9, 9, 0xa, 0xa, 0xb, 0xb, 0x10, 0x10, 0x10, 0x11, 0x12, 0x14, 0x15, 0x25,
    ]

    mutating func workRequest(_ guest: Driver) throws(Ending) {
        guard !guest.pairs.isEmpty else { return }
        count("work requests")
        let index = random.below(guest.pairs.count)
        var opcode = random.one(of: Session.opcodes)
        if guest.pairs[index].service == 0xc, !random.once(in: 8) { opcode = 0x25 }
        if random.once(in: 20) { opcode = UInt8(random.below(256)) }
        // The other end, mostly, has room for what is sent.
        for _ in 0..<2 where [1, 9, 0xa, 0xb].contains(opcode) {
            guest.receive(guest.peer(index), segments(guest, 3))
        }
        for _ in 0..<random.below(3) {
            guest.receive(random.below(guest.pairs.count), segments(guest, 1 + random.below(3)))
        }
        var body: [UInt8] = []
        let service = guest.pairs[index].service
        if service == 3 { body += big(random.one(of: guest.receiveQueues)) + [UInt8](repeating: 0, count: 12) }
        if service == 2 {
            body += big(UInt32(0x1111)) + big(UInt32(0)) + big(random.one(of: guest.pairs).number | 1 << 31)
            body += [3, 0, 0, 1] + [UInt8](repeating: 0, count: 32)
        }
        switch opcode {
        case 0x25: body += registration(guest)
        case 8, 9, 0x10...0x15:
            let target = target(guest) & (opcode > 0x10 && !random.once(in: 8) ? ~7 : .max)
            body += big(target) + big(key(guest, target)) + [0, 0, 0, 0]
            if opcode > 0x10 { body += bytes(guest, opcode == 0x14 ? 32 : 16) }
            body += opcode > 0x10 ? big(UInt32(8)) + segments(guest, 1).dropFirst(4) : segments(guest, random.below(4))
        default:
            if random.once(in: 4) {
                let size = random.below(200)
                body += big(UInt32(size) | 1 << 31) + bytes(guest, size)
            } else {
                body += segments(guest, random.below(4))
            }
        }
        for _ in 0..<(random.once(in: 5) ? random.below(4) : 0) where body.count >= 8 {
            let place = random.below(body.count / 4 - 1) * 4
            body.replaceSubrange(place..<place + 4, with: bytes(guest, 4))
        }
        let units = random.once(in: 12) ? random.below(64) : nil
        let immediate = random.once(in: 4) ? UInt32(truncatingIfNeeded: number(guest)) : random.one(of: guest.keys)
        guest.post(
            index, opcode, body, flags: random.once(in: 6) ? UInt8(random.below(256)) : 8, immediate: immediate,
            units: units)
        try guest.ringPair(guest.pairs[index].number)
        if random.once(in: 8) { _ = try guest.poll() }
    }

    private mutating func target(_ guest: Driver) -> UInt64 {
        switch random.below(16) {
        case 0: address(guest)
        case 1...3: random.one(of: Driver.data) + UInt64(random.below(0x8000))
        case 4, 5: Client.ownMemory.lowerBound + UInt64(random.below(0x8000))
        default: Driver.data[0] + UInt64(random.below(0x4000))
        }
    }

    /// A key of an address; only the physical one reaches all of them.
    private mutating func key(_ guest: Driver, _ address: UInt64) -> UInt32 {
        let isOfAll = !(Driver.data[0]..<Driver.data[0] + 0x8000).contains(address)
        return isOfAll && !random.once(in: 8) ? guest.keys[0] : random.one(of: guest.keys)
    }

    private mutating func segments(_ guest: Driver, _ count: Int) -> [UInt8] {
        (0..<count).flatMap { _ in
            let length = UInt32(random.one(of: [0, 1, 8, 64, 100, 4096, 5000, 0x8000, 0x4_0000, 0x80_0000]))
            let target = target(guest)
            return big(random.once(in: 8) ? length : length & 0x17ff) + big(key(guest, target)) + big(target)
        }
    }

    /// What an UMR request has behind its control segment: flags, counts and mask, a context, translations.
    private mutating func registration(_ guest: Driver) -> [UInt8] {
        let isInline = random.once(in: 2)
        let flags: UInt8 = (isInline ? 0x80 : 0) | (random.once(in: 3) ? UInt8(random.below(128)) : 0x10)
        let count = UInt16(random.once(in: 6) ? random.below(1 << 16) : random.below(9))
        var mask = random.next() & random.next()
        // A key stays one that can be used, mostly.
        if !random.once(in: 4) { mask &= 1 | 1 << 1 | 1 << 6 | 1 << 47 | 1 << 25 }
        var body: [UInt8] =
            [flags, 0, 0, 0] + big(count) + big(UInt16(random.once(in: 4) ? random.below(1 << 16) : random.below(4)))
        body +=
            big(mask) + big(UInt32(random.once(in: 8) ? random.below(1 << 20) : 0)) + [UInt8](repeating: 0, count: 28)
        var context = Array((guest.honest[0x200] ?? []).dropFirst(16).prefix(64))
        for field in formats.command(0x200).fields where field.bit >= 128 && field.bit < 640 && random.once(in: 12) {
            context[field.at(-16)] = number(guest)
        }
        body += context
        guard isInline else { return body + segments(guest, 1) }
        for _ in 0..<min(Int(count), 30) {
            let key = random.one(of: guest.keys)
            body +=
                random.once(in: 2)
                ? big(target(guest) | 3) + big(target(guest) | 3)
                : big(UInt32(random.below(0x4000))) + big(key) + big(target(guest))
        }
        return body
    }
}
