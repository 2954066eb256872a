import CKernel
import ConnectX
import Glibc
import SeededRandom

/// Guests at the NICs of one server, who keep a conversation going and break it at every level.
struct Session {
    /// Inputs of one session at most; it ends earlier where the server closes a connection.
    static let length = 250

    var random: Random
    private let guests: [Driver]
    private var files: [Int32]
    let formats: Formats
    /// Inputs of each kind.
    var counts: [String: Int] = [:]
    private(set) var sent = 0
    /// The longest that one input took, in nanoseconds.
    private(set) var longest: UInt64 = 0

    init(_ seed: UInt64, _ formats: Formats, sockets: [Int32]) {
        random = Random(seed: seed)
        self.formats = formats
        guests = sockets.enumerated().map { Driver(Client($1), formats, lid: UInt64($0 + 1)) }
        // Memory, events, and what is neither.
        files = [Int32(sys_memfd_of_length(1 << 16)), Int32(sys_memfd_of_length(1 << 20)), Int32(sys_eventfd(0))]
        files += [open("/dev/zero", O_RDWR | O_CLOEXEC), open("/proc/self/maps", O_RDONLY | O_CLOEXEC)]
        files += [open("/", O_RDONLY | O_CLOEXEC), socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)]
    }

    /// Sends inputs, and looks at memory at the end; `sent` counts them.
    mutating func run(_ count: Int) throws(Ending) {
        defer { for file in files { close(file) } }
        do throws(Ending) {
            for guest in guests {
                try guest.client.open()
                guard try guest.start() else { throw .failure("an honest driver cannot take the NIC up") }
            }
            for number in 0..<count {
                sent += 1
                let start = sys_monotonic()
                try input()
                for guest in guests { try guest.client.settle() }
                longest = max(longest, sys_monotonic() - start)
                if number % 64 == 63 { try complain() }
                if number % 16 == 15 { try recover() }
            }
        } catch {
            try complain()
            guard case .closed = error else { throw error }
            counts["connections closed by the server", default: 0] += 1
        }
        try complain()
        for guest in guests {
            counts["commands done", default: 0] += guest.done
            counts["commands refused", default: 0] += guest.refused
            counts["requests completed", default: 0] += guest.completed
            counts["requests failed", default: 0] += guest.failed
            counts["requests for memory", default: 0] += guest.client.asked
        }
    }

    private func complain() throws(Ending) {
        for guest in guests { if let complaint = guest.client.memory.complaint() { throw .failure(complaint) } }
    }

    /// What inputs have broken is made whole, as far as the NIC allows it.
    private mutating func recover() throws(Ending) {
        for guest in guests {
            let memory = guest.client.memory
            for index in memory.ranges.indices where !memory.ranges[index].isMapped { try guest.client.map(index) }
            for token in try guest.poll() where !random.once(in: 4) {
                try guest.command(0x204) {
                    let fault = formats.area("page_fault_resume_in.page_fault_info")
                    $0[fault] = random.once(in: 2) ? 0x80 : 0
                    $0.replaceSubrange(fault + 2..<fault + 8, with: big(token).suffix(6))
                }
            }
            guest.client.manner = .properly
            if try guest.command(0x80d).isDone, guest.honest.count > 30, !random.once(in: 8) {
                // Queue pairs that have failed are taken up again.
                let isFirst = random.once(in: 2)
                for index in guest.pairs.indices where index < 2 ? isFirst : random.once(in: 2) {
                    let other = random.one(of: guest.pairs).number
                    try guest.restart(index, peer: random.once(in: 12) ? other : guest.pairs[guest.peer(index)].number)
                }
            } else {
                counts["drivers that began again", default: 0] += 1
                // D0, and what the power state has reset.
                for place in stride(from: 0x40, to: 0x100, by: 4) where random.once(in: 4) {
                    try guest.client.write(7, place, [0, 0, 0, 0])
                }
                _ = try guest.start()
            }
        }
    }

    // MARK: Inputs

    private mutating func input() throws(Ending) {
        let guest = random.one(of: guests)
        switch random.below(100) {
        case 0..<20: try message(guest)
        case 20..<24: try configuration(guest)
        case 24..<32: try registers(guest)
        case 32..<62: try command(guest)
        case 62..<90: try workRequest(guest)
        case 90..<95: try memory(guest)
        case 95..<98: try mapping(guest)
        default: try behaviour(guest)
        }
    }

    mutating func count(_ kind: String) { counts[kind, default: 0] += 1 }

    /// A number that is often at an edge, or of an object or address that there is.
    mutating func number(_ guest: Driver) -> UInt64 {
        let some: [UInt64] = [
            0, 1, 2, 3, 7, 8, 0x10, 0x3f, 0x40, 0x48, 0xff, 0x100, 0x200, 0xfff, 0x1000, 0xffff, 0x1_0000, 0xf_ffff,
            0x10_0000, 0xff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 62, 1 << 63, .max, .max - 7,
            .max - 4095,
        ]
        switch random.below(8) {
        case 0: return UInt64(guest.pairs.isEmpty ? 0 : random.one(of: guest.pairs).number)
        case 1: return UInt64(guest.keys.isEmpty ? 0 : random.one(of: guest.keys) >> UInt32(random.below(2) * 8))
        case 2: return UInt64(guest.completionQueues.isEmpty ? 0 : random.one(of: guest.completionQueues).number)
        case 3: return address(guest)
        case 4: return random.next() >> UInt64(random.below(64))
        default: return random.one(of: some)
        }
    }

    /// An address in a range, or at its edges, or between ranges.
    mutating func address(_ guest: Driver) -> UInt64 {
        let range = random.one(of: guest.client.memory.ranges)
        let within = random.one(of: [0, 8, 0x1000, 0x8000, range.size - 8, range.size, range.size + 8, -8])
        let start = random.once(in: 5) ? Client.ownMemory.lowerBound : range.address
        return start &+ UInt64(bitPattern: Int64(within))
    }

    mutating func bytes(_ guest: Driver, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count { bytes += random.once(in: 2) ? big(number(guest)) : little(number(guest)) }
        return Array(bytes.prefix(count))
    }

    private mutating func some(_ most: Int) -> [Int32] { (0..<random.below(most)).map { _ in random.one(of: files) } }

    private mutating func message(_ guest: Driver) throws(Ending) {
        count("messages")
        let client = guest.client
        var command = UInt16(random.once(in: 16) ? random.below(1 << 16) : 1 + random.below(15))
        // A reset ends what was built, so it comes seldom.
        if command == 13, !random.once(in: 20) { command = 10 }
        let sizes = [0, 32, 24, 16, 32, 16, 16, 20, 16, 32, 16, 24, 0, 16, 16]
        var payload = bytes(guest, random.once(in: 4) ? random.below(64) : sizes[Int(command &- 1) % 15])
        let small = little(UInt32(random.below(9))), region = little(UInt32(random.one(of: [0, 0, 7, 2, 9])))
        let length = little(UInt32(random.one(of: [0, 1, 4, 8, 64, 4096, 1 << 20, 1 << 30])))
        switch command {
        case 2: payload.replaceSubrange(0..<min(8, payload.count), with: little(UInt32(32)) + small)
        case 3: payload.replaceSubrange(0..<min(8, payload.count), with: little(UInt32(24)) + small)
        case 5, 7: payload = little(UInt32(64)) + little(UInt32(0)) + small + bytes(guest, 20)
        case 8:
            payload = little(UInt32(20)) + little(UInt32(random.below(64))) + small + small
            payload += little(UInt32(random.below(20))) + bytes(guest, random.below(20))
        case 9: payload = little(random.next() >> UInt64(40 + random.below(24))) + region + length
        case 10:
            let data = bytes(guest, random.one(of: [1, 4, 8, 64, 512]))
            payload =
                little(random.next() >> UInt64(40 + random.below(24))) + region + little(UInt32(data.count)) + data
        default: break
        }
        var message = Client.message(command, id: client.nextID(), payload, flags: random.once(in: 8) ? 0x10 : 0)
        if random.once(in: 8) { message[8] = random.one(of: [1, 0x21, 0x31]) }
        if random.once(in: 4), message.count > 16 {
            message[16 + random.below(message.count - 16)] = UInt8(random.below(256))
        }
        // What is seldom, as it may end the connection: lengths, kinds, and messages that do not go on.
        if random.once(in: 400) { message[8 + random.below(2)] = UInt8(random.below(256)) }
        note(message, client)
        let sent = random.once(in: 3) ? some(20) : some(2)
        guard random.once(in: 600) else { return try client.send(message, sent) }
        // What does not go on, or says another length than it has: no reply may come, so the connection ends here.
        if random.once(in: 2) {
            message[4 + random.below(4)] = UInt8(random.below(256))
            try client.send(message + message, sent)
        } else {
            try client.send(Array(message[..<random.below(message.count)]), sent)
        }
        throw .closed
    }

    /// Memory that a message asks to be mapped is memory that its sender may be asked for.
    private func note(_ message: [UInt8], _ client: Client) {
        guard message.count >= 48, message[2] == 2 else { return }
        let (address, size) = message.withUnsafeBytes {
            (
                $0.loadUnaligned(fromByteOffset: 32, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: 40, as: UInt64.self)
            )
        }
        let (end, overflow) = address.addingReportingOverflow(size)
        client.granted.append(address..<(overflow ? .max : end))
    }

    private mutating func configuration(_ guest: Driver) throws(Ending) {
        count("configuration space")
        let place = random.once(in: 2) ? random.below(0x100) : random.below(4096)
        let data = bytes(guest, random.one(of: [1, 2, 4, 4, 8, 64]))
        try guest.client.write(7, min(place, 4096 - data.count), data)
        if !random.once(in: 10) { try guest.client.write(7, 4, [6, 0]) }
    }

    private mutating func registers(_ guest: Driver) throws(Ending) {
        count("registers and doorbells")
        let page = random.once(in: 2) ? Int(guest.uar) : random.below(random.one(of: [0x20, 8192]))
        var place = page * 4096 + random.one(of: [0x20, 0x40, 0x48, 0x800, 0x900, 0x804, 0xffc])
        if random.once(in: 3) { place = random.below(0x4000) }
        // The command queue's address, seldom: what follows goes to it.
        if (0x10..<0x18).contains(place & ~3), !random.once(in: 16) { place = 0x18 }
        let number = UInt32(truncatingIfNeeded: number(guest))
        let words = random.one(of: [number, guest.eventQueue.number << 24 | number & 0xff_ffff])
        try guest.client.write(0, place, big(words) + big(UInt32(truncatingIfNeeded: self.number(guest)) << 8))
    }

    // MARK: Commands

    private mutating func command(_ guest: Driver) throws(Ending) {
        count("commands")
        var description = random.one(of: formats.commands)
        // Those that end everything come seldom.
        while [0x103, 0x105].contains(description.opcode), !random.once(in: 20) {
            description = random.one(of: formats.commands)
        }
        var input = guest.honest[description.opcode] ?? [UInt8](repeating: 0, count: description.input)
        if guest.honest[description.opcode] == nil, input.count >= 12 {
            input.replaceSubrange(0..<2, with: big(UInt16(description.opcode)))
            input.replaceSubrange(8..<12, with: big(UInt32(truncatingIfNeeded: number(guest)) & 0xff_ffff))
        }
        for _ in 0..<random.below(5) { input[random.one(of: description.fields)] = number(guest) }
        if random.once(in: 4), input.count >= 8 {
            let place = random.below(input.count - 7)
            input.replaceSubrange(place..<place + 8, with: bytes(guest, 8))
        }
        if random.once(in: 6) { input = Array(input.prefix(random.below(input.count + 1))) }
        if random.once(in: 6) { input += bytes(guest, random.one(of: [8, 16, 512, 4096])) }
        let length = random.once(in: 6) ? random.one(of: [0, 8, 16, 17, 600, 16000, 1 << 20]) : description.output
        let slot = random.once(in: 8) ? random.below(32) : 0
        var entry = guest.layOut(input, output: length, slot: slot)
        if random.once(in: 6) { breakMailboxes(guest, &entry) }
        try guest.ring(entry, slot: slot)
        let answer = guest.answer(min(length, 16384), slot: slot)
        if answer.isDone { counts["\(description.name) done", default: 0] += 1 }
    }

    private mutating func breakMailboxes(_ guest: Driver, _ entry: inout [UInt8]) {
        switch random.below(4) {
        case 0: entry[random.below(16)] = UInt8(random.below(256))
        case 1: entry[48 + random.below(16)] = UInt8(random.below(256))
        case 2:
            let target = random.one(of: [Driver.inputBoxes, Driver.outputBoxes, address(guest), Driver.queue])
            entry.replaceSubrange(random.once(in: 2) ? 8..<16 : 48..<56, with: big(target & ~0x1ff))
        default:
            // A chain that goes elsewhere, or in a ring.
            let box = random.one(of: [Driver.inputBoxes, Driver.outputBoxes]) + UInt64(random.below(4) * 1024)
            let target = random.one(of: [box, Driver.inputBoxes, address(guest), Driver.queue]) & ~0x3ff
            guest.client.memory.put(box + 560, big(target) + big(UInt32(random.below(3))))
        }
    }

    // MARK: Memory

    /// Queues, records, lists and mailboxes change under the function.
    private mutating func memory(_ guest: Driver) throws(Ending) {
        count("memory")
        for _ in 0..<(1 + random.below(8)) {
            let place = 0x10_0000 + UInt64(random.below(0x4_0000)) & ~3
            guest.client.memory.put(place, bytes(guest, random.one(of: [4, 8, 64])))
        }
        if let pair = guest.pairs.first, random.once(in: 2) { try guest.ringPair(pair.number) }
    }

    /// Memory goes while it is used, comes back, or has a file that shrinks.
    private mutating func mapping(_ guest: Driver) throws(Ending) {
        count("mappings")
        let memory = guest.client.memory
        switch random.below(3) {
        case 0:
            // A file of its own, which becomes shorter, or longer, than what was mapped of it.
            let payload = guest.client.mapping(flags: 3, 0x3000_0000 + UInt64(random.below(4)) << 16, 1 << 16)
            try guest.client.request(2, payload, [files[random.below(2)]])
            ftruncate(files[random.below(2)], random.one(of: [0, 4096, 1 << 16, 1 << 20]))
        default:
            let index = 1 + random.below(memory.ranges.count - 1)
            if !guest.pairs.isEmpty {
                let pair = random.below(guest.pairs.count)
                let length = big(UInt32(0x4_0000)) + big(guest.keys[0])
                let there = memory.ranges[index].address
                guest.post(
                    pair, 8, big(there) + big(guest.keys[0]) + [0, 0, 0, 0] + length + big(Driver.data[0]), flags: 8,
                    immediate: 0)
                try guest.ringPair(guest.pairs[pair].number)
            }
            if memory.ranges[index].isMapped { try guest.client.unmap(index) } else { try guest.client.map(index) }
        }
        for index in 0..<4 where random.once(in: 4) && !guest.keys.isEmpty && !guest.pairs.isEmpty {
            let place = 0x3000_0000 + UInt64(index) << 16 + UInt64(random.below(0xf000))
            let body =
                big(place) + big(guest.keys[0]) + [0, 0, 0, 0] + big(UInt32(64)) + big(guest.keys[0]) + big(place)
            guest.post(0, 8, body, flags: 8, immediate: 0)
            try guest.ringPair(guest.pairs[0].number)
        }
    }

    private mutating func behaviour(_ guest: Driver) throws(Ending) {
        count("behaviours")
        switch random.below(12) {
        case 0: try guest.client.request(13, [])
        case 1: try guest.client.write(7, 0x48, [0, 0x80])
        case 2: try guest.client.write(0, 0x14, big(UInt32(7) << 8))
        case 3 where random.once(in: 4): guest.client.manner = .never
        case 4: guest.client.manner = .wrongly
        case 5: guest.client.manner = .refusing
        case 6:
            guest.client.manner = .properly
            try guest.client.request(
                8,
                little(UInt32(20)) + little(UInt32(0x24)) + little(UInt32(2)) + little(UInt32(0)) + little(UInt32(1)),
                [files[2]])
        default:
            // Many in flight: nothing is waited for.
            for _ in 0..<(4 + random.below(40)) {
                let write = little(UInt64(0x18)) + little(UInt32(0)) + little(UInt32(4)) + big(UInt32(1))
                let read = little(UInt64(random.below(4096))) + little(UInt32(0)) + little(UInt32(4))
                let isWrite = random.once(in: 2)
                try guest.client.send(
                    Client.message(isWrite ? 10 : 9, id: guest.client.nextID(), isWrite ? write : read))
            }
        }
    }
}
