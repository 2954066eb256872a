import Testing
import VFIOUser

@testable import ConnectX

/// Memory keys and queues as commands make, query and destroy them.
@Suite struct ObjectTests {
    /// One of each that others need.
    private struct Parents {
        let driver = DriverDouble()
        let domain, page, eventQueue, completionQueue: UInt32

        init() throws {
            driver.boot()
            let events = try #require(driver.eventQueue(1 << 0xa))
            eventQueue = events.number
            page = UInt32(events.page / 4096)
            domain = driver.command(0x800).word(2)
            completionQueue = driver.command(Self.completionQueue(driver, page, eventQueue)).word(2)
        }

        static func completionQueue(_ driver: DriverDouble, _ page: UInt32, _ events: UInt32, log: UInt32 = 5)
            -> [UInt8]
        {
            let context = driver.context(256, [0xc: log << 24 | page, 0x14: events, 0x3c: UInt32(driver.page())])
            return driver.input(0x400, 0, 0, 0, context + driver.big(UInt64(driver.page())))
        }

        /// A queue pair of a service, with words of its context changed.
        func queuePair(_ words: [Int: UInt32] = [:]) -> Answer {
            var context: [Int: UInt32] = [
                0x4: domain, 0x8: 3 << 19 | 3 << 11, 0xc: page, 0x7c: completionQueue, 0x9c: completionQueue,
                0xa4: UInt32(driver.page()),
            ]
            context.merge(words) { $1 }
            let bytes = driver.context(232, context)
            let rest = [UInt8](repeating: 0, count: 8) + bytes + [UInt8](repeating: 0, count: 16)
            return driver.command(driver.input(0x500, 0, 0, 0, rest + driver.big(UInt64(driver.page()))))
        }

        /// A key of pages with `count` entries.
        func memoryKey(_ words: [Int: UInt32] = [:], entries: UInt32 = 4, told: UInt32? = nil) -> Answer {
            var context: [Int: UInt32] = [
                0: 0x3c << 8 | 1 << 8, 0x4: 0xffff_ff00, 0xc: domain, 0x1c: entries * 4096, 0x34: (entries + 1) / 2,
                0x38: 12,
            ]
            context.merge(words) { $1 }
            var bytes = driver.context(256, context)
            bytes.replaceSubrange(0x50..<0x54, with: driver.big(told ?? (entries + 1) / 2))
            let list = (0..<entries + entries % 2).flatMap { driver.big(UInt64(0x10000 + $0 * 4096)) }
            return driver.command(driver.input(0x200, 0, 0, 0, bytes + list))
        }
    }

    @Test func eachIsMadeQueriedAndDestroyed() throws {
        let parents = try Parents()
        let driver = parents.driver
        let key = parents.memoryKey()
        #expect(key.status == .ok)
        #expect(driver.command(0x201, 0, key.word(2), output: 304).word(4 + 3) == parents.domain)
        let pair = parents.queuePair()
        #expect(pair.status == .ok)
        #expect(driver.command(0x50b, 0, pair.word(2), output: 464).word(6 + 1) == parents.domain)
        #expect(driver.command(0x402, 0, parents.completionQueue, output: 272).word(4 + 5) == parents.eventQueue)
        for (destroy, number) in [
            (0x202, key.word(2)), (0x501, pair.word(2)), (0x401, parents.completionQueue), (0x302, parents.eventQueue),
            (0x803, parents.page), (0x801, parents.domain),
        ] as [(UInt16, UInt32)] {
            #expect(driver.command(destroy, 0, number).status == .ok)
            #expect(driver.command(destroy, 0, number).status == .badResource)
        }
    }

    @Test func whatIsInUseStays() throws {
        let parents = try Parents()
        let driver = parents.driver
        let pair = parents.queuePair().word(2)
        let key = parents.memoryKey().word(2)
        for (destroy, number) in [
            (0x801, parents.domain), (0x401, parents.completionQueue), (0x302, parents.eventQueue),
            (0x803, parents.page),
        ] as [(UInt16, UInt32)] {
            #expect(driver.command(destroy, 0, number).status == .badResourceState)
        }
        #expect(driver.command(0x501, 0, pair).status == .ok)
        #expect(driver.command(0x801, 0, parents.domain).status == .badResourceState)
        #expect(driver.command(0x202, 0, key).status == .ok)
        #expect(driver.command(0x801, 0, parents.domain).status == .ok)
    }

    @Test func aQueuePairNeedsWhatItsContextNames() throws {
        let parents = try Parents()
        for words in [[0x4: 0x99], [0xc: 0x999], [0x7c: 0x9999], [0x9c: 0x9999], [0xac: 1 << 24, 0xb0: 7]]
            as [[Int: UInt32]]
        {
            #expect(parents.queuePair(words).status == .badResource)
        }
        // A service that there is not, and more than its pages hold.
        #expect(parents.queuePair([0: 0x00ee_0000]).status == .badParameter)
        #expect(parents.queuePair([0x8: 15 << 19 | 15 << 11]).status == .badInputLength)
        #expect(parents.queuePair().status == .ok)
    }

    @Test func aQueuePairGoesThroughItsStatesInTheirOrder() throws {
        let parents = try Parents()
        let driver = parents.driver
        let pair = parents.queuePair().word(2)
        func change(_ opcode: UInt16) -> CommandStatus? {
            driver.command(driver.input(opcode, 0, pair, 0, [UInt8](repeating: 0, count: 256))).status
        }
        #expect(change(0x503) == .badQueuePairState && change(0x504) == .badQueuePairState)
        #expect(change(0x502) == .ok && change(0x502) == .badQueuePairState && change(0x50e) == .ok)
        #expect(change(0x503) == .ok && change(0x504) == .ok && change(0x505) == .ok)
        #expect(driver.command(0x50b, 0, pair, output: 464).output[24] >> 4 == 3)
        #expect(driver.command(0x507, 0, pair).status == .ok && change(0x505) == .badQueuePairState)
        #expect(driver.command(0x50a, 0, pair).status == .ok && change(0x502) == .ok)
    }

    @Test func aMemoryKeyThatCannotBeIsRefused() throws {
        let parents = try Parents()
        #expect(parents.memoryKey([0xc: 0x99]).status == .badResource)
        #expect(parents.memoryKey(told: 1000).status == .badInputLength)
        #expect(parents.memoryKey(told: .max).status == .badInputLength)
        #expect(parents.memoryKey([0x34: 0]).status == .badParameter)
        #expect(parents.driver.command(0x201, 0, 0xff_ffff, output: 304).status == .badResource)
    }

    /// A guest may make keys until the device has no memory for their translations, and no further.
    @Test func translationsEndBeforeMemoryDoes() throws {
        let parents = try Parents()
        let entries: UInt32 = 1 << 16
        var made = 0
        while made < 1 << 10, parents.memoryKey(entries: entries).status == .ok { made += 1 }
        // A key takes some beside its translations.
        #expect(made == (MemoryKeyTable.most >> 16) - 1)
        #expect(parents.memoryKey(entries: entries).status == .noResources)
    }

    @Test func teardownForgetsThemAll() throws {
        let parents = try Parents()
        let driver = parents.driver
        let pair = parents.queuePair().word(2)
        let key = parents.memoryKey().word(2)
        #expect(driver.command(0x103).status == .ok)
        #expect(driver.command(driver.input(0x102, 0, 0, 0, [UInt8](repeating: 0, count: 16))).status == .ok)
        for (destroy, number) in [(0x501, pair), (0x202, key), (0x401, parents.completionQueue)] as [(UInt16, UInt32)] {
            #expect(driver.command(destroy, 0, number).status == .badResource)
        }
    }

    /// Linux asks for one by a write of the register, other tools by a read.
    @Test(arguments: [UInt16(0), 1])
    func aDumpIsWrittenByAKeyOfTheDrivers(_ modifier: UInt16) throws {
        let parents = try Parents()
        let driver = parents.driver
        // Physical addresses, local write, no bounds.
        let context = driver.context(256, [0: 0x0c00, 0x4: 0xffff_ff07, 0xc: 1 << 31 | parents.domain])
        let physical = driver.command(driver.input(0x200, 0, 0, 0, context)).word(2) << 8 | 7
        let key = parents.memoryKey().word(2)
        let target = driver.page()
        func dump(_ kind: UInt32, by key: UInt32, of index: UInt32) -> Answer {
            let words = [0x0000_0000 | kind, 0, index, 0, 0, 0, 0, 0, key, 4096, 0, UInt32(target)]
            let register = words.flatMap { driver.big($0) } + [UInt8](repeating: 0, count: 256 - 48)
            return driver.command(driver.input(0x805, modifier, 0xc000, 0, register), output: 272)
        }
        let answer = dump(0x2001, by: physical, of: key)
        #expect(answer.status == .ok)
        let written = driver.bus.peek(target, Int(answer.word(4 + 9)))
        #expect(driver.bigWord(written) == 4 << 16 | 0xfffe)
        // Info, command and the segment's header, an output's header, then the context with its domain.
        let start = 16 + 20 + 16 + 16
        #expect(driver.bigWord(Array(written[(start + 12)...])) & 0xff_ffff == parents.domain)
        #expect(driver.bigWord(written.suffix(4)) == 1 << 16 | 0xfffb)
        #expect(dump(0xffff, by: physical, of: 0).status == .ok)
        #expect(dump(0x2001, by: 0x9900, of: key).status == .badParameter)
        #expect(dump(0x7777, by: physical, of: key).status == .badParameter)
    }
}
