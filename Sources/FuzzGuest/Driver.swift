import ConnectX

/// A guest's driver: it takes the NIC up as mlx5 does, and makes objects of each kind.
final class Driver {
    /// A queue pair, and where its memory is.
    struct Pair {
        let number: UInt32
        let service: UInt64
        let buffer, record: UInt64
        var posted: UInt16 = 0
        var received: UInt16 = 0
    }

    /// A command's answer.
    struct Answer {
        var delivery: UInt8
        var output: [UInt8]
        var isDone: Bool { delivery == 0 && output[0] == 0 }
        var number: UInt32 { word(2) & 0xff_ffff }
        func word(_ index: Int) -> UInt32 { output[index * 4..<index * 4 + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    }

    let client: Client
    let formats: Formats
    /// The last honest input of each command, for others to be made from.
    private(set) var honest: [Int: [UInt8]] = [:]
    private(set) var uar: UInt32 = 0
    private(set) var domain: UInt32 = 0
    private var xrcDomain: UInt32 = 0
    private(set) var pairs: [Pair] = []
    private(set) var completionQueues: [(number: UInt32, buffer: UInt64, record: UInt64)] = []
    private(set) var eventQueue: (number: UInt32, buffer: UInt64) = (0, 0)
    private var seen: UInt32 = 0
    private(set) var keys: [UInt32] = []
    private(set) var receiveQueues: [UInt32] = []
    /// Commands that were done and refused, and completions without and with an error.
    private(set) var done = 0, refused = 0, completed = 0, failed = 0
    /// How far the completion queues were read.
    private var polled: [UInt32] = []

    // Where things are in the first range.
    static let queue: UInt64 = 0x10_0000
    static let inputBoxes: UInt64 = 0x10_1000
    static let outputBoxes: UInt64 = 0x11_0000
    private static let firstFree: UInt64 = 0x12_0000
    private var free = Driver.firstFree
    static let boxes = 32
    /// What requests read and write: ranges 1 to 5 of the guest's memory, and what the client answers for itself.
    static let data: [UInt64] = [0x20_0000, 0x30_0000, 0x40_0000, 0x50_0000, 0x60_0000, 0x2000_0000]

    /// Its NIC's.
    private let lid: UInt64

    init(_ client: Client, _ formats: Formats, lid: UInt64) {
        self.client = client
        self.lid = lid
        self.formats = formats
    }

    func page(_ count: Int = 1) -> UInt64 {
        defer { free += UInt64(count) * 4096 }
        return free
    }

    // MARK: Commands

    /// A slot with a command, whose mailboxes are laid out.
    func layOut(_ input: [UInt8], output length: Int, slot: Int = 0, token: UInt8 = 7) -> [UInt8] {
        let boxes = min((max(input.count, 16) - 16 + 511) / 512, Driver.boxes)
        for index in 0..<boxes {
            let part = Array(input.dropFirst(16 + index * 512).prefix(512))
            box(Driver.inputBoxes, index, boxes, part, token)
        }
        let outputs = min((max(length, 16) - 16 + 511) / 512, Driver.boxes)
        for index in 0..<outputs { box(Driver.outputBoxes, index, outputs, [], token) }
        var entry: [UInt8] = [7, 0, 0, 0] + big(UInt32(input.count)) + big(boxes > 0 ? Driver.inputBoxes : 0)
        entry += Array(input.prefix(16)) + [UInt8](repeating: 0, count: 32 - min(16, input.count))
        return entry + big(outputs > 0 ? Driver.outputBoxes : 0) + big(UInt32(length)) + [token, 0, 0, 1]
    }

    private func box(_ start: UInt64, _ index: Int, _ count: Int, _ part: [UInt8], _ token: UInt8) {
        let address = start + UInt64(index * 1024)
        let next = index + 1 < count ? address + 1024 : 0
        client.memory.put(address, part + [UInt8](repeating: 0, count: 560 - part.count) + big(next))
        client.memory.put(address + 568, big(UInt32(index)) + [0, token, 0, 0])
    }

    /// Rings the doorbell of a slot with an entry, and waits.
    func ring(_ entry: [UInt8], slot: Int = 0) throws(Ending) {
        client.memory.put(Driver.queue + UInt64(slot * 64), entry)
        try client.write(0, 0x18, big(UInt32(1) << UInt32(slot)))
        try client.settle()
    }

    /// What is in a slot after its command.
    func answer(_ length: Int, slot: Int = 0) -> Answer {
        let entry = client.memory.get(Driver.queue + UInt64(slot * 64), 64)
        var output = Array(entry[32..<48])
        for index in 0..<min((max(length, 16) - 16 + 511) / 512, Driver.boxes) {
            output += client.memory.get(Driver.outputBoxes + UInt64(index * 1024), 512)
        }
        let answer = Answer(delivery: entry[63] >> 1 | (entry[63] & 1) << 7, output: output)
        if answer.isDone { done += 1 } else { refused += 1 }
        return answer
    }

    /// An honest command.
    @discardableResult
    func command(_ opcode: Int, _ fill: (inout [UInt8]) -> Void = { _ in }, more: [UInt8] = []) throws(Ending) -> Answer
    {
        let description = formats.command(opcode)
        var input = [UInt8](repeating: 0, count: description.input) + more
        fill(&input)
        input.replaceSubrange(0..<2, with: big(UInt16(opcode)))
        honest[opcode] = input
        try ring(layOut(input, output: description.output))
        return answer(description.output)
    }

    // MARK: Taking it up

    /// From after a reset to objects of each kind; whether that could be done.
    func start() throws(Ending) -> Bool {
        free = Driver.firstFree
        (pairs, completionQueues, keys, receiveQueues, polled, seen) = ([], [], [], [], [], 0)
        try client.write(7, 4, [6, 0])
        // Forgets everything, then tells where the queue is.
        try client.write(0, 0x14, big(UInt32(7) << 8))
        try client.write(0, 0x10, big(UInt32(0)))
        try client.write(0, 0x14, big(UInt32(Driver.queue)))
        guard try command(0x104).isDone else { return false }
        for opcode in [0x10a, 0x107, 0x101] { try command(opcode) }
        try command(0x10b) { $0[7] = 1 }
        try command(
            0x108,
            {
                $0[6...7] = [0, 1]; $0[15] = 4
            }, more: (0..<4).flatMap { big(UInt64($0) << 12) })
        for kind in [0, 2, 3, 13] { try command(0x100) { $0[7] = UInt8(kind << 1) } }
        try command(0x109) {
            $0[7] = 4; $0[16 + 0xc0] = 0x80
        }
        try command(0x10d)
        guard try command(0x102).isDone else { return false }
        uar = try command(0x802).number
        domain = try command(0x800).number
        xrcDomain = try command(0x80e).number
        for opcode in [0x816, 0x203, 0x80d, 0x762, 0x764, 0x765, 0x770] { try command(opcode) }
        try command(0x763)
        try command(0x50d) { $0[17] = 4 }
        try command(
            0x805,
            {
                $0[7] = 1; $0[10...11] = [0x50, 4]
            }, more: [UInt8](repeating: 0, count: 64))
        try makeQueues()
        try makeKeys()
        try makePairs()
        return !pairs.isEmpty
    }

    private func set(_ input: inout [UInt8], _ name: String, _ value: UInt64, at offset: Int = 0) {
        input[formats.field(name, at: offset)] = value
    }

    private func makeQueues() throws(Ending) {
        let buffer = page(2)
        for entry in 0..<64 { client.memory.put(buffer + UInt64(entry * 64 + 63), [1]) }
        let context = formats.area("create_eq_in.eq_context_entry")
        eventQueue = (
            try command(
                0x301,
                {
                    set(&$0, "eqc.log_eq_size", 6, at: context)
                    set(&$0, "eqc.uar_page", UInt64(uar), at: context)
                    set(&$0, "create_eq_in.event_bitmask[0]", .max)
                }, more: big(buffer)
            ).word(2) & 0xff, buffer
        )
        try command(0x303) { $0[11] = UInt8(eventQueue.number) }
        let queueContext = formats.area("create_cq_in.cq_context")
        for index in 0..<3 {
            let (buffer, record) = (page(), page())
            for entry in 0..<64 { client.memory.put(buffer + UInt64(entry * 64 + 63), [0xf1]) }
            let answer = try command(
                0x400,
                {
                    set(&$0, "cqc.log_cq_size", 6, at: queueContext)
                    set(&$0, "cqc.uar_page", UInt64(uar), at: queueContext)
                    set(&$0, "cqc.c_eqn_or_apu_element", UInt64(eventQueue.number), at: queueContext)
                    set(&$0, "cqc.oi", index == 0 ? 1 : 0, at: queueContext)
                    set(&$0, "cqc.dbr_addr", record, at: queueContext)
                }, more: big(buffer))
            completionQueues.append((answer.number, buffer, record))
            polled.append(0)
        }
        let first = completionQueues[0].number
        try command(0x402) { $0.replaceSubrange(8..<12, with: big(first)) }
        try command(0x403) { $0.replaceSubrange(8..<12, with: big(first)) }
    }

    private func makeKeys() throws(Ending) {
        let context = formats.area("create_mkey_in.memory_key_mkey_entry")
        // Physical; equal pages; pages that may be absent; a list of keys; one of equal lengths.
        for (mode, isPageable) in [(0, false), (1, false), (1, true), (2, false), (3, false)] {
            var entries: [UInt8] = []
            switch mode {
            case 1: entries = (0..<16).flatMap { big(Driver.data[0] + UInt64($0) << 12 | 3) }
            case 2, 3:
                entries = (0..<8).flatMap { big(UInt32(0x1000)) + big(keys[0]) + big(Driver.data[$0 % 6]) }
            default: break
            }
            let answer = try command(
                0x200,
                {
                    for right in ["a", "rw", "rr", "lw", "lr", "umr_en"] { set(&$0, "mkc.\(right)", 1, at: context) }
                    set(&$0, "mkc.access_mode_1_0", UInt64(mode), at: context)
                    set(&$0, "mkc.qpn", 0xff_ffff, at: context)
                    set(&$0, "mkc.mkey_7_0", 0x42, at: context)
                    set(&$0, "mkc.pd", UInt64(domain), at: context)
                    set(&$0, "mkc.length64", mode == 0 ? 1 : 0, at: context)
                    set(&$0, "mkc.start_addr", mode == 0 ? 0 : Driver.data[0], at: context)
                    set(&$0, "mkc.len", mode == 1 ? 0x1_0000 : 0x8000, at: context)
                    set(&$0, "mkc.log_page_size", 12, at: context)
                    set(&$0, "mkc.translations_octword_size", UInt64(entries.count / 16), at: context)
                    set(&$0, "create_mkey_in.translations_octword_actual_size", UInt64(entries.count / 16))
                    set(&$0, "create_mkey_in.pg_access", isPageable ? 1 : 0)
                }, more: entries)
            keys.append(answer.number << 8 | 0x42)
        }
        try command(0x201) { $0.replaceSubrange(8..<12, with: big(keys[1] >> 8)) }
    }

    private func makePairs() throws(Ending) {
        for (opcode, layout, structure) in [
            (0x700, "create_srq_in.srq_context_entry", "srqc"), (0x705, "create_srq_in.srq_context_entry", "xrc_srqc"),
        ] {
            let context = formats.area(layout), record = page(), buffer = page()
            let answer = try command(
                opcode,
                {
                    set(&$0, "\(structure).log_\(structure == "srqc" ? "" : "xrc_")srq_size", 4, at: context)
                    set(&$0, "\(structure).log_rq_stride", 2, at: context)
                    set(&$0, "\(structure).pd", UInt64(domain), at: context)
                    set(&$0, "\(structure).xrcd", UInt64(xrcDomain), at: context)
                    set(&$0, "\(structure).cqn", UInt64(completionQueues[0].number), at: context)
                    $0.replaceSubrange(context + 0x28..<context + 0x30, with: big(record))
                }, more: big(buffer))
            receiveQueues.append(answer.number)
            client.memory.put(record, big(UInt32(8)))
        }
        let pool = page()
        receiveQueues.append(
            try command(
                0x90c,
                {
                    let context = formats.area("create_rmp_in.ctx")
                    set(&$0, "rmpc.basic_cyclic_rcv_wqe", 1, at: context)
                    set(&$0, "rmpc.wq.log_wq_stride", 6, at: context)
                    set(&$0, "rmpc.wq.log_wq_sz", 4, at: context)
                    set(&$0, "rmpc.wq.pd", UInt64(domain), at: context)
                }, more: big(pool)
            ).number)
        for service in [0, 0, 0, 1, 2, 3, 0xc] as [UInt64] { try makePair(service) }
        for index in pairs.indices { try connect(pairs[index], pairs[peer(index)].number) }
        try command(0x50b) { $0.replaceSubrange(8..<12, with: big(pairs[0].number)) }
    }

    private func makePair(_ service: UInt64) throws(Ending) {
        let (buffer, record) = (page(), page())
        let context = formats.area("create_qp_in.qpc")
        let queue = UInt64(completionQueues[pairs.count % 3].number)
        let answer = try command(
            0x500,
            {
                set(&$0, "qpc.st", service, at: context)
                set(&$0, "qpc.pd", UInt64(domain), at: context)
                set(&$0, "qpc.log_rq_size", 3, at: context)
                set(&$0, "qpc.log_rq_stride", 2, at: context)
                set(&$0, "qpc.log_sq_size", 4, at: context)
                set(&$0, "qpc.uar_page", UInt64(uar), at: context)
                set(&$0, "qpc.cqn_snd", queue, at: context)
                set(&$0, "qpc.cqn_rcv", queue, at: context)
                set(&$0, "qpc.xrcd", UInt64(xrcDomain), at: context)
                set(&$0, "qpc.dbr_addr", record, at: context)
            }, more: big(buffer))
        guard answer.isDone else { return }
        pairs.append(Pair(number: answer.number, service: service, buffer: buffer, record: record))
    }

    func connect(_ pair: Pair, _ peer: UInt32) throws(Ending) {
        let context = formats.area("rst2init_qp_in.qpc"), path = context + 0x18
        for opcode in [0x502, 0x503, 0x504] {
            try command(opcode) {
                $0.replaceSubrange(8..<12, with: big(pair.number))
                for right in ["rre", "rwe", "rae"] { set(&$0, "qpc.\(right)", 1, at: context) }
                set(&$0, "qpc.q_key", 0x1111, at: context)
                set(&$0, "qpc.remote_qpn", UInt64(peer), at: context)
                set(&$0, "ads.rlid", lid, at: path)
                set(&$0, "qpc.log_msg_max", 24, at: context)
                set(&$0, "qpc.mtu", 5, at: context)
                set(&$0, "qpc.min_rnr_nak", 1, at: context)
                set(&$0, "qpc.retry_count", 1, at: context)
                set(&$0, "qpc.rnr_retry", 1, at: context)
                set(&$0, "ads.ack_timeout", 1, at: path)
            }
        }
    }

    // MARK: Its queues

    /// Posts a send request: what is behind its control segment's first eight bytes.
    func post(_ index: Int, _ opcode: UInt8, _ body: [UInt8], flags: UInt8, immediate: UInt32, units: Int? = nil) {
        let pair = pairs[index]
        let units = units ?? (16 + body.count + 15) / 16
        var bytes: [UInt8] = [0] + big(pair.posted) + [opcode] + big(pair.number << 8 | UInt32(units & 0x3f))
        bytes += [0, 0, 0, flags] + big(immediate) + body
        for start in stride(from: 0, to: min(bytes.count, 1024), by: 64) {
            let place = (Int(pair.posted) * 64 + start) % 1024
            client.memory.put(pair.buffer + UInt64(512 + place), Array(bytes[start..<min(start + 64, bytes.count)]))
        }
        pairs[index].posted &+= UInt16((max(units, 1) * 16 + 63) / 64)
        client.memory.put(pair.record + 4, big(UInt32(pairs[index].posted)))
    }

    /// The other end of a queue pair: the first two are each other's, and each of the others is its own.
    func peer(_ index: Int) -> Int { index < 2 && pairs.count > 1 ? 1 - index : index }

    /// Takes a queue pair up again, with a peer; its counters begin at 0.
    func restart(_ index: Int, peer: UInt32) throws(Ending) {
        let number = pairs[index].number
        try command(0x50a) { $0.replaceSubrange(8..<12, with: big(number)) }
        pairs[index].posted = 0
        pairs[index].received = 0
        client.memory.put(pairs[index].record, [UInt8](repeating: 0, count: 8))
        try connect(pairs[index], peer)
    }

    func ringPair(_ number: UInt32) throws(Ending) {
        try client.write(0, Int(uar) * 4096 + 0x800, big(UInt32(0)) + big(number << 8))
    }

    /// Posts a receive request.
    func receive(_ index: Int, _ body: [UInt8]) {
        let pair = pairs[index]
        client.memory.put(pair.buffer + UInt64(Int(pair.received) % 8 * 64), Array(body.prefix(64)))
        pairs[index].received &+= 1
        client.memory.put(pair.record, big(UInt32(pairs[index].received)))
    }

    /// Reads what completion queues and the event queue have; tokens of page faults among it.
    func poll() throws(Ending) -> [UInt64] {
        for index in completionQueues.indices {
            let queue = completionQueues[index]
            for _ in 0..<64 {
                let place = queue.buffer + UInt64(polled[index] % 64) * 64
                let last = client.memory.get(place + 63, 1)[0]
                guard last >> 4 != 0xf, UInt32(last & 1) == polled[index] / 64 & 1 else { break }
                if last >> 4 >= 13 { failed += 1 } else { completed += 1 }
                polled[index] += 1
            }
            client.memory.put(queue.record, big(polled[index]))
        }
        var tokens: [UInt64] = []
        for _ in 0..<64 {
            let entry = client.memory.get(eventQueue.buffer + UInt64(seen % 64) * 64, 64)
            guard UInt32(entry[63] & 1) == seen / 64 & 1 else { break }
            if entry[1] == 0xc { tokens.append(entry[38..<44].reduce(0) { $0 << 8 | UInt64($1) }) }
            seen += 1
        }
        try client.write(0, Int(uar) * 4096 + 0x40, big(eventQueue.number << 24 | seen & 0xff_ffff))
        return tokens
    }
}
