import Testing
import VFIOUser

@testable import ConnectX

@Suite struct EventTests {
    @Test func aCommandIsToldOfByTheQueueThatWantsIt() throws {
        let driver = DriverDouble()
        driver.boot()
        // Its own creation is not told of: the driver polls for that.
        let queue = try #require(driver.eventQueue(1 << 0xa, vector: 3))
        #expect(driver.bus.peek(queue.buffer + 63, 1) == [1] && driver.bus.interrupts.isEmpty)
        driver.ring(queue.page + 0x40, queue.number << 24)
        #expect(driver.command(driver.input(0x800), slot: 5).status == .ok)
        let entry = driver.bus.peek(queue.buffer, 64)
        #expect(entry[1] == 0xa && driver.bigWord(Array(entry[32...])) == 1 << 5 && entry[63] == 0)
        #expect(driver.bus.interrupts == [3])
        // It was armed for one; what comes then waits for the next arming, which finds it.
        _ = driver.command(0x800)
        #expect(driver.bus.interrupts == [3])
        driver.ring(queue.page + 0x40, queue.number << 24 | 1)
        #expect(driver.bus.interrupts == [3, 3])
        driver.ring(queue.page + 0x48, queue.number << 24 | 2)
        driver.ring(queue.page + 0x40, queue.number << 24 | 2)
        #expect(driver.bus.interrupts == [3, 3])
    }

    @Test func entriesChangeOwnersWhenTheQueueWraps() throws {
        let driver = DriverDouble()
        driver.boot()
        let queue = try #require(driver.eventQueue(1 << 0xa, log: 2))
        for count in 1...9 {
            _ = driver.command(0x80d)
            driver.ring(queue.page + 0x48, queue.number << 24 | UInt32(count))
            let entry = driver.bus.peek(queue.buffer + (count - 1) % 4 * 64, 64)
            #expect(entry[63] == UInt8((count - 1) / 4 & 1))
        }
    }

    @Test func whatFindsNoRoomIsLostAndNothingIsOverwritten() throws {
        let driver = DriverDouble()
        driver.boot()
        let queue = try #require(driver.eventQueue(1 << 0xa, log: 2))
        for slot in 0..<7 { _ = driver.command(driver.input(0x80d), slot: slot) }
        #expect(driver.bigWord(driver.bus.peek(queue.buffer + 32, 4)) == 1)
        #expect(driver.hca.events[Int(queue.number)]?.lost == 3)
        // A reader that claims to have read what was never written is not believed.
        driver.ring(queue.page + 0x48, queue.number << 24 | 100)
        #expect(driver.hca.events[Int(queue.number)]?.consumer == 0)
    }

    @Test func doorbellsOfOtherPagesAreNothing() throws {
        let driver = DriverDouble()
        driver.boot()
        let queue = try #require(driver.eventQueue(1 << 0xa))
        let other = Int(driver.command(0x802).word(2)) * 4096
        driver.ring(other + 0x40, queue.number << 24)
        _ = driver.command(0x800)
        #expect(driver.bus.interrupts.isEmpty)
    }

    @Test func aQueueOutOfReachIsBroken() throws {
        let driver = DriverDouble()
        driver.boot()
        let page = driver.command(0x802).word(2)
        let context = driver.context(256, [0xc: 4 << 24 | page])
        let mask = context.prefix(0x48) + driver.big(UInt64(1 << 0xa)) + context.dropFirst(0x50)
        let made = driver.command(driver.input(0x301, 0, 0, 0, Array(mask) + driver.big(UInt64.max << 12)))
        #expect(made.status == .ok)
        #expect(driver.command(0x80d).status == .ok)
        let queried = driver.command(0x303, 0, made.word(2), output: 272)
        #expect(queried.output[16] >> 4 == 0xa)
    }

    @Test(
        arguments: [
            ([0xc: 31 << 24 | 0x10], CommandStatus.badParameter), ([0xc: 5 << 24 | 0x999], .badResource),
            ([0xc: 5 << 24 | 0x10, 0x14: 999], .badIndex), ([0xc: 16 << 24 | 0x10], .badInputLength),
            ([0xc: 5 << 24 | 0x10, 0x18: 31 << 24], .badParameter),
        ] as [([Int: UInt32], CommandStatus)])
    func aContextThatCannotBeIsRefused(_ words: [Int: UInt32], _ status: CommandStatus) {
        let driver = DriverDouble()
        driver.boot()
        _ = driver.command(0x802)
        let answer = driver.command(driver.input(0x301, 0, 0, 0, driver.context(256, words) + driver.big(UInt64(4096))))
        #expect(answer.status == status)
    }
}
