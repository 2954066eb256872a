import Testing
import VFIOUser

@testable import ConnectX

/// What a guest may write to its queues, at random from a seed: nothing of it traps, and all of it ends.
@Suite struct DataPathMutationTests {
    /// SplitMix64, so that a seed names a run on any machine.
    struct Draws: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }

    private static let opcodes: [UInt8] = [0, 1, 8, 9, 0xa, 0xb, 0x10, 0x11, 0x12, 0x14, 0x15, 0x25, 0x25, 0x20, 0xff]
    private static let numbers: [UInt64] = [
        0, 1, 7, 8, 63, 64, 0x100, 0x200, 4095, 4096, 0xffff, 1 << 31 - 1, 1 << 31, UInt64(UInt32.max), 1 << 63, .max,
        .max - 7,
    ]

    private struct World {
        let nics: [DataPathDouble]
        let pairs: [PairDouble]
        let keys: [UInt32]
        let memory: Int
    }

    private func world() throws -> World {
        let fabric = Fabric()
        let time = DataPathDouble.Time()
        let nics = [
            DataPathDouble(fabric: fabric, lid: 1, time: time), DataPathDouble(fabric: fabric, lid: 2, time: time),
        ]
        var pairs: [PairDouble] = []
        for service in [QueuePair.Service.reliable, .unreliable, .xrc] {
            let (a, b) = try PairDouble.connected(nics[0], nics[1], service)
            pairs += [a, b]
        }
        let own = try PairDouble(nics[0])
        try own.connect(own)
        let datagram = try PairDouble(nics[1], .datagram)
        try datagram.connect(nil)
        let registrar = try PairDouble(nics[0], .registration)
        try registrar.connect(nil)
        var keys: [UInt32] = []
        var memory = 0
        for nic in nics {
            memory = nic.room(0x1_0000)
            keys.append(try nic.key(memory, 0x1_0000))
            keys.append(
                try nic.key(
                    nic.keyContext(start: 0, length: 0x8000, entries: 8) { $0[MemoryKeyContext.umrEn] = 1 },
                    [UInt64(memory) | 3], isPageable: true))
            keys.append(
                try nic.key(
                    nic.keyContext(mode: 2, start: 0, length: 0x8000, entries: 8) { $0[MemoryKeyContext.umrEn] = 1 }))
            keys.append(
                try nic.key(nic.keyContext(mode: 0, start: 0, length: 0) { $0[flag: MemoryKeyContext.length64] = true })
            )
            keys.append(
                try nic.key(
                    nic.keyContext(mode: 3, start: 0, length: 0x8000, pageShift: 3, entries: 8) {
                        $0[MemoryKeyContext.umrEn] = 1
                    }))
        }
        return World(nics: nics, pairs: pairs + [own, datagram, registrar], keys: keys, memory: memory)
    }

    /// Sixteen bytes that are sometimes a segment that fits.
    private func unit(_ world: World, _ draws: inout Draws) -> [UInt8] {
        let number = { (draws: inout Draws) in Self.numbers.randomElement(using: &draws) ?? 0 }
        let key = UInt64(world.keys.randomElement(using: &draws) ?? 0)
        let address = UInt64(world.memory) + number(&draws) % 0x1_0000
        switch Int.random(in: 0..<8, using: &draws) {
        case 0, 1:
            return PairDouble.big(UInt32(truncatingIfNeeded: number(&draws) % 5000)) + PairDouble.big(UInt32(key))
                + PairDouble.big(address)
        case 2: return PairDouble.big(address) + PairDouble.big(UInt32(key)) + [0, 0, 0, 0]
        case 3:
            return PairDouble.big(UInt32(truncatingIfNeeded: number(&draws))) + PairDouble.big(UInt32(key))
                + PairDouble.big(number(&draws))
        case 4:
            return PairDouble.big(1 << 31 | UInt32(truncatingIfNeeded: number(&draws)))
                + [UInt8](repeating: 3, count: 12)
        case 5:
            return [[0x30, 0x50, 0x80, 0x90, 0xb0, 0].randomElement(using: &draws) ?? 0, 0, 0, 0]
                + PairDouble.big(UInt16(truncatingIfNeeded: number(&draws) % 9))
                + PairDouble.big(UInt16(truncatingIfNeeded: number(&draws) % 9)) + PairDouble.big(draws.next())
        case 6: return PairDouble.big(number(&draws)) + PairDouble.big(number(&draws))
        default: return PairDouble.big(draws.next()) + PairDouble.big(draws.next())
        }
    }

    private func step(_ world: World, _ draws: inout Draws) throws {
        guard let pair = world.pairs.randomElement(using: &draws) else { return }
        let nic = pair.nic
        switch Int.random(in: 0..<24, using: &draws) {
        case 0:
            nic.put(UInt32(truncatingIfNeeded: draws.next()), at: pair.record + (Bool.random(using: &draws) ? 0 : 4))
        case 1: nic.put(UInt32(truncatingIfNeeded: draws.next()), at: pair.sendCompletions.record)
        case 2:
            nic.path.armCompletionQueue(
                UInt32(truncatingIfNeeded: draws.next()) & 0x1ff, UInt32(truncatingIfNeeded: draws.next()))
        case 3: nic.path.ringSendQueue(UInt32(truncatingIfNeeded: draws.next()) & 0x1ff)
        case 4:
            for fault in nic.events.faults {
                try? nic.path.resume(token: fault.token, isError: Bool.random(using: &draws))
            }
            nic.events.faults = []
        case 5: try? nic.path.resume(token: draws.next(), isError: false)
        case 6: nic.time.now += draws.next() % 2_000_000_000
        case 7: nic.bus.callsLeft = Bool.random(using: &draws) ? nil : Int.random(in: 0..<40, using: &draws)
        case 8, 9:
            try? pair.modify(.toReset)
            (pair.posted, pair.receives) = (0, 0)
            try? pair.connect(
                pair.number % 3 == 0
                    ? pair : world.pairs.first { $0.number != pair.number && $0.service == pair.service })
        case 10...13:
            pair.receive(
                (0..<Int.random(in: 0..<4, using: &draws)).map { _ in
                    Piece(
                        address: world.memory, length: Int.random(in: 0..<5000, using: &draws),
                        key: world.keys.randomElement(using: &draws) ?? 0)
                })
        default:
            let count = Int.random(in: 0..<14, using: &draws)
            let opcode = Self.opcodes.randomElement(using: &draws) ?? 0
            let units: Int? = Int.random(in: 0..<10, using: &draws) == 0 ? Int.random(in: 0..<64, using: &draws) : nil
            pair.write(
                opcode, (0..<count).flatMap { _ in unit(world, &draws) },
                immediate: world.keys.randomElement(using: &draws) ?? 0,
                flags: UInt8(truncatingIfNeeded: draws.next()), units: units)
            pair.ring()
        }
    }

    private typealias Piece = PairDouble.Piece

    @Test(arguments: 1...4)
    func nothingThatAGuestWritesTraps(_ seed: Int) throws {
        var draws = Draws(state: UInt64(seed))
        for _ in 0..<2 {
            let world = try world()
            for nic in world.nics { nic.path.share = 1 << 18 }
            for _ in 0..<1500 {
                try step(world, &draws)
                for nic in world.nics {
                    nic.path.work()
                }
            }
            // What goes on at the end is over within a bounded number of turns but for those who wait for others.
            for nic in world.nics {
                nic.bus.callsLeft = nil
                for pair in world.pairs where pair.nic === nic {
                    try? nic.path.modifyQueuePair(
                        Int(pair.number), .toReset, UnsafeRawBufferPointer(start: nil, count: 0), optional: 0)
                }
                nic.run()
                #expect(!nic.path.hasWork)
            }
        }
    }
}
