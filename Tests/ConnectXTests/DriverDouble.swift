import VFIOUser

@testable import ConnectX

/// Memory from address 0 on, and interrupts that are counted.
final class TestBus: PCIBus {
    private(set) var memory: [UInt8]
    private(set) var interrupts: [Int] = []
    /// Calls on memory that succeed before all others fail; nil for no end.
    var callsLeft: Int?

    init(size: Int = 8 << 20) { memory = [UInt8](repeating: 0, count: size) }

    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(DMAFault) {
        let range = try range(address, bytes.count, isWrite: false)
        memory.withUnsafeBytes { bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    func write(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DMAFault) {
        let range = try range(address, bytes.count, isWrite: true)
        memory.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[range]).copyMemory(from: bytes)
        }
    }

    func interrupt(_ vector: Int) { interrupts.append(vector) }

    func poke(_ address: Int, _ bytes: [UInt8]) { memory.replaceSubrange(address..<address + bytes.count, with: bytes) }

    func peek(_ address: Int, _ count: Int) -> [UInt8] { Array(memory[address..<address + count]) }

    private func range(_ address: UInt64, _ count: Int, isWrite: Bool) throws(DMAFault) -> Range<Int> {
        if let calls = callsLeft {
            guard calls > 0 else { throw DMAFault(address: address, isWrite: isWrite) }
            callsLeft = calls - 1
        }
        guard address <= UInt64(memory.count), count <= memory.count - Int(address) else {
            throw DMAFault(address: address, isWrite: isWrite)
        }
        return Int(address)..<Int(address) + count
    }
}

/// What the output of a command was.
struct Answer {
    /// MLX5_CMD_DELIVERY_STAT_*.
    var delivery: UInt64
    var output: [UInt8]

    var status: CommandStatus? { CommandStatus(rawValue: output[0]) }

    /// A number of an output's words, which count from 0.
    func word(_ index: Int) -> UInt32 {
        output[index * 4..<index * 4 + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
}

/// Plays mlx5_core: a command queue, mailboxes, doorbells, all in a test's memory.
final class DriverDouble {
    let bus = TestBus()
    let hca: HCA
    /// Where free memory begins.
    private var top = 0x20_0000
    static let queue = 0x10_0000

    init(_ options: HCAOptions = HCAOptions(), clock: @escaping () -> UInt64 = HCA.monotonic) {
        hca = HCA(options, bus: bus, clock: clock)
        // Memory decoding and bus mastering.
        write(7, 4, [6, 0])
    }

    func page(_ count: Int = 1) -> Int {
        defer { top += count * 4096 }
        return top
    }

    func write(_ region: Int, _ offset: Int, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { hca.write(region, at: offset, $0) }
    }

    func read(_ region: Int, _ offset: Int, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        bytes.withUnsafeMutableBytes { hca.read(region, at: offset, into: $0) }
        return bytes
    }

    /// Writes a big-endian register and has the function work.
    func ring(_ offset: Int, _ words: UInt32...) {
        write(0, offset, words.flatMap { big($0) })
        hca.work()
    }

    func big<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    func bigWord(_ bytes: [UInt8]) -> UInt32 { bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }

    /// Tells the function where its command queue is.
    func start() {
        ring(0x10, 0)
        ring(0x14, UInt32(Self.queue))
    }

    /// A chain of mailboxes with bytes in it; its address, 0 for none.
    func mailboxes(_ bytes: [UInt8], token: UInt8 = 0) -> [Int] {
        let boxes = stride(from: 0, to: bytes.count, by: 512).map { _ in page() }
        for (index, box) in boxes.enumerated() {
            let part = Array(bytes[index * 512..<min((index + 1) * 512, bytes.count)])
            let next = index + 1 < boxes.count ? boxes[index + 1] : 0
            bus.poke(box, part + [UInt8](repeating: 0, count: 560 - part.count) + big(UInt64(next)))
            bus.poke(box + 568, big(UInt32(index)) + [0, token, 0, 0])
        }
        return boxes
    }

    /// Lays a command out in a slot, changes what of the slot a test wants changed, rings its doorbell, reads its answer.
    func command(
        _ input: [UInt8], output length: Int = 16, slot: Int = 0, token: UInt8 = 0,
        change: (inout [UInt8]) -> Void = { _ in }
    ) -> Answer {
        // Mailboxes are used again by the next command.
        let before = top
        defer { top = before }
        let inputs = mailboxes(Array(input.dropFirst(16)), token: token)
        let outputs = mailboxes([UInt8](repeating: 0, count: max(0, length - 16)), token: token)
        var entry: [UInt8] = [7, 0, 0, 0] + big(UInt32(input.count)) + big(UInt64(inputs.first ?? 0))
        entry += Array(input.prefix(16)) + [UInt8](repeating: 0, count: 32 - min(16, input.count))
        entry += big(UInt64(outputs.first ?? 0)) + big(UInt32(length)) + [token, 0, 0, 1]
        change(&entry)
        let address = Self.queue + slot * 64
        bus.poke(address, entry)
        ring(0x18, 1 << UInt32(slot))
        let answer = bus.peek(address, 64)
        let rest = outputs.flatMap { bus.peek($0, 512) }
        return Answer(
            delivery: UInt64(answer[63] >> 1) | UInt64(answer[63] & 1) << 63,
            output: Array((answer[32..<48] + rest).prefix(max(length, 16))))
    }

    /// A command's first 16 bytes, and what follows.
    func input(
        _ opcode: UInt16, _ modifier: UInt16 = 0, _ second: UInt32 = 0, _ third: UInt32 = 0, _ rest: [UInt8] = []
    )
        -> [UInt8]
    {
        big(opcode) + [0, 0, 0, 0] + big(modifier) + big(second) + big(third) + rest
    }

    func command(_ opcode: UInt16, _ modifier: UInt16 = 0, _ second: UInt32 = 0, output: Int = 16) -> Answer {
        command(input(opcode, modifier, second), output: output)
    }

    /// A context of zeros with words at places, in bytes.
    func context(_ size: Int, _ words: [Int: UInt32]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: size)
        for (place, word) in words { bytes.replaceSubrange(place..<place + 4, with: big(word)) }
        return bytes
    }

    /// As far as INIT_HCA.
    func boot() {
        start()
        _ = command(0x104, output: 12)
        _ = command(input(0x102, 0, 0, 0, [UInt8](repeating: 0, count: 16)))
    }

    /// An event queue of 2^log entries whose entries are the device's to write; its number, buffer and doorbell page.
    func eventQueue(_ types: UInt64, vector: UInt32 = 0, log: UInt32 = 4) -> (number: UInt32, buffer: Int, page: Int)? {
        let uar = command(0x802).word(2)
        let buffer = page(1 + (64 << Int(log)) / 4096)
        for entry in 0..<1 << Int(log) { bus.poke(buffer + entry * 64 + 63, [1]) }
        let context = context(256, [0xc: log << 24 | uar, 0x14: vector])
        let mask = context.prefix(0x48) + big(types) + context.dropFirst(0x50)
        let answer = command(input(0x301, 0, 0, 0, Array(mask) + big(UInt64(buffer))))
        guard answer.status == .ok else { return nil }
        return (answer.word(2), buffer, Int(uar) * 4096)
    }
}
